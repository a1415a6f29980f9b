"""What a prediction looked at, section by section, so that it need not be made twice.

While one section is replayed, :class:`_Wire`, :class:`_Values` and :class:`_Memory` note every byte
that decided something: read by a rule or a hook, as a count, a flag or a version. Most bytes of a
device's state are only passed by. A section whose deciding bytes are those of an earlier one gets
its outcome, whatever else is in it; guests that differ in registers, clocks and addresses alone
are equal here.

This is sound because a replay of a section is a function of what it reads: the same deciding bytes
lead along the same path. What one section leaves in the destination's memory for another is noted
with both.
"""

from __future__ import annotations

import dataclasses
import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from migratable.check import points
from migratable.check.destination import Destination
from migratable.check.infos import FIXED
from migratable.check.loader import PLAIN, Loader
from migratable.check.objects import Loading, Memory
from migratable.check.replay import Found, Replay
from migratable.check.trouble import Words
from migratable.check.wire import Wire
from migratable.errors import StreamError
from migratable.profile.loader import PciMasks, VmField
from migratable.profile.model import Profile
from migratable.stream.cursor import Buffer
from migratable.stream.layout import SectionKind
from migratable.stream.model import Section, Span, Stream
from migratable.stream.vmdesc import VmsdBody

Address: TypeAlias = tuple[int, int]
"""A word of the destination's memory: where, and how many bytes it has."""
Place: TypeAlias = tuple[int, int]
"""Bytes of a section's body: first, and the first behind."""
Part: TypeAlias = tuple[int, int, int]
"""Bytes that decided, and how: exactly, under a mask of bits, or by one of the questions below."""

_EXACTLY = 0
_NONZERO = -1
_SUBSECTION = -2
"""Whether a subsection begins there: the byte 5. Asked behind every body, and mostly answered by
the first byte of whatever comes next."""
_IS_FIVE = bytes(byte == 5 for byte in range(256))
_ALLOCATED = 1 << 60
_CPU = "cpu"
_PASSED_BY = frozenset({*PLAIN, *FIXED, "buffer", "bitmap", "unused_buffer"})
_MOST_ENTRIES = 200_000
"""Of one destination; more than real fleets have shapes, and a bound for hostile ones."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Outcome of one section, with what it needs and leaves.

    :ivar needs: words of memory that another section may have left, and their values.
    :ivar leaves: words that it sets: a value, or the bytes of its body that are the value.
    :ivar cpus: a CPU as it was loaded, for the rules at the stream's end.
    :ivar section_id: where messages may name it; None when it makes no difference.
    """

    number: int
    found: tuple[Found, ...]
    unexamined: tuple[str, ...]
    unchecked: tuple[str, ...]
    consumed: int | None
    needs: dict[Address, int | None]
    leaves: dict[Address, int | Place]
    cpus: tuple[Loading, ...] = ()
    section_id: int | None = None


class _Pattern:
    """Entries whose deciding bytes are at the same places."""

    __slots__ = ("_asked", "_masked", "_nonzero", "_places", "entries", "parts")

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts = parts
        self.entries: dict[tuple[bytes, ...], list[Entry]] = {}
        self._places = [slice(first, end) for first, end, how in parts if how == _EXACTLY]
        self._nonzero = [
            (slice(first, end), bytes(end - first)) for first, end, how in parts if how == _NONZERO
        ]
        self._asked = [first for first, _, how in parts if how == _SUBSECTION]
        self._masked = [(slice(first, end), how) for first, end, how in parts if how > 0]

    def key(self, body: bytes) -> tuple[bytes, ...]:
        """What decides in a body."""
        return (
            b"".join([body[place] for place in self._places]),
            bytes([body[place] != zeros for place, zeros in self._nonzero]),
            bytes([body[at] for at in self._asked]).translate(_IS_FIVE),
            *[
                (int.from_bytes(body[place], "little") & mask).to_bytes(len(body[place]), "little")
                for place, mask in self._masked
            ],
        )


@dataclass(frozen=True, slots=True)
class Unit:
    """A section of a stream, ready to be looked up.

    :ivar head: all of it but the body.
    """

    section: Section
    head: tuple[object, ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Ready:
    """A stream, ready to be looked up on many destinations.

    :ivar around: key of what is not in sections with a state.
    """

    stream: Stream
    units: tuple[Unit, ...]
    around: bytes
    _ends: dict[int, object] = field(default_factory=dict, compare=False)

    def ends(self, names: set[str]) -> tuple[object, ...]:
        """What rules at the stream's end see of the sections of these names."""
        out = []
        for number, unit in enumerate(self.units):
            if unit.section.idstr in names:
                if number not in self._ends:
                    self._ends[number] = _end_view(unit)
                out.append(self._ends[number])
        return tuple(out)


def _end_view(unit: Unit) -> object:
    """What those rules see of a section: of a virtio device what its driver agreed to.

    Its rings' addresses and indices are nothing to them; of other sections it is all bytes.
    """
    from migratable.stream.handlers import virtio_of  # noqa: PLC0415 -- only for such devices

    body = unit.body
    named = (b"virtio/ringsize" in body, b"/packed_virt" in body)
    try:
        virtio = virtio_of(unit.section)
    except StreamError:
        return ("malformed", *named)
    if virtio is None:
        return body
    queues = tuple((one.num, one.num_default) for one in virtio.queues)
    return (*named, virtio.guest_features, tuple(virtio.subsections), queues)


class Streams:
    """Makes streams ready; descriptions that are equal are recognised by their text."""

    def __init__(self) -> None:
        """Begin without any."""
        self._described: dict[bytes, dict[int, int]] = {}
        self._bodies: dict[VmsdBody, int] = {}

    def ready(self, stream: Stream) -> Ready:
        """Take a stream apart; its views are copied, each section once."""
        described = self._numbers(stream)
        units = tuple(
            Unit(
                section=section,
                head=(
                    section.kind,
                    section.idstr,
                    section.instance_id,
                    section.version_id,
                    section.footer,
                    len(section.body),
                    described.get(number, 0),
                ),
                body=bytes(section.body),
            )
            for number, section in enumerate(stream.sections)
            if section.kind in {SectionKind.START, SectionKind.FULL}
        )
        return Ready(stream=stream, units=units, around=around(stream))

    def _numbers(self, stream: Stream) -> dict[int, int]:
        """For each section with a description a number, the same for equal descriptions."""
        raw = b"" if stream.vmdesc is None else stream.vmdesc.raw
        heads = [(one.kind, one.idstr, one.instance_id) for one in stream.sections]
        key = hashlib.blake2b(raw + repr(heads).encode("utf-8", "surrogateescape")).digest()
        found = self._described.get(key)
        if found is None:
            found = self._described[key] = {
                number: self._bodies.setdefault(section.description.body, len(self._bodies) + 1)
                for number, section in enumerate(stream.sections)
                if section.description is not None
            }
        return found


def around(stream: Stream) -> bytes:
    """Key of what a prediction sees outside of sections with a state."""
    digest = hashlib.blake2b(digest_size=20)
    first = stream.elements[0] if stream.elements else None
    seen = (
        stream.version,
        stream.eof,
        stream.page_size,
        None if stream.configuration is None else _configuration(stream),
        stream.ram,
        (type(first).__name__, getattr(first, "kind", None)),
        [(one.kind, bytes(one.payload)) for one in stream.commands],
        stream.vmdesc is None,
        [
            (one.kind, one.idstr, one.instance_id, one.version_id, one.footer)
            for one in stream.sections
            if one.kind in {SectionKind.START, SectionKind.FULL}
        ],
    )
    digest.update(repr(seen).encode("utf-8", "surrogateescape"))
    return digest.digest()


def _configuration(stream: Stream) -> object:
    found = stream.configuration
    assert found is not None
    return (found.machine, [(sub.name, sub.version, bytes(sub.body)) for sub in found.subsections])


class Memo:
    """What is known of one destination."""

    def __init__(self, destination: Destination) -> None:
        """Begin with nothing."""
        self.destination = destination
        self.made = 0
        self._patterns: dict[tuple[object, ...], list[_Pattern]] = {}
        self._left_by: dict[Address, tuple[object, ...]] = {}
        self._needed_by: dict[Address, tuple[object, ...]] = {}
        self._shared: set[Address] = set()
        self._answers: dict[tuple[object, ...], Any] = {}
        self._seen_at_end: set[str] = set()

    def answer(
        self,
        ready: Ready,
        make: Callable[[Replay], Any],
        *,
        origin: Profile | None = None,
        origin_key: bytes = b"",
    ) -> Any:
        """Answer for a stream, from what is known or from a replay of what is not.

        :param make: an answer from a replay; it must depend on nothing else of the stream.
        :param origin: the source's profile, and :param origin_key: what makes two of them one.
        """
        if any(isinstance(one, Span) and one.undelimited for one in ready.stream.elements):
            return make(Replay(ready.stream, self.destination, origin).run())
        entries = self._all_known(ready)
        if entries is not None:
            known = self._answers.get(self._key(ready, origin_key, entries))
            if known is not None:
                return known
        try:
            replay = _Watched(ready, self, origin)
            replay.run()
        except _StaleError:
            # A rule at the end asked a CPU for more than it did before: that one is watched anew.
            for unit in ready.units:
                if unit.section.idstr == _CPU:
                    self._patterns.pop(unit.head, None)
            replay = _Watched(ready, self, origin)
            replay.run()
        replay.keep()
        answer = make(replay)
        if not replay.seen_at_end <= self._seen_at_end:
            self._seen_at_end |= replay.seen_at_end
            self._answers.clear()  # their keys do not say what turned out to be looked at
        if replay.whole and len(self._answers) < _MOST_ENTRIES:
            self._answers[self._key(ready, origin_key, [one for one, _ in replay.past])] = answer
        return answer

    def _key(self, ready: Ready, origin_key: bytes, entries: list[Entry]) -> tuple[object, ...]:
        numbers = tuple([entry.number for entry in entries])
        return (ready.around, origin_key, numbers, ready.ends(self._seen_at_end))

    def _all_known(self, ready: Ready) -> list[Entry] | None:
        past: list[tuple[Entry, bytes]] = []
        for unit in ready.units:
            entry = self.find(unit, past)
            if entry is None:
                return None
            past.append((entry, unit.body))
        return [entry for entry, _ in past]

    def find(self, unit: Unit, past: list[tuple[Entry, bytes]]) -> Entry | None:
        """The entry of an equal section; None when there was none."""
        for pattern in self._patterns.get(unit.head, ()):
            for entry in pattern.entries.get(pattern.key(unit.body), ()):
                if entry.section_id not in {None, unit.section.section_id}:
                    continue
                if self._shared.isdisjoint(entry.needs) or all(
                    self.outer(address, past) == entry.needs[address]
                    for address in self._shared.intersection(entry.needs)
                ):
                    return entry
        return None

    def outer(self, address: Address, past: list[tuple[Entry, bytes]]) -> int | None:
        """What a word has after the sections before this one."""
        for entry, body in reversed(past):
            left = entry.leaves.get(address)
            if left is not None:
                if isinstance(left, int):
                    return left
                value = int.from_bytes(body[left[0] : left[1]], "big")
                return value & ((1 << 8 * address[1]) - 1)
        return self.destination.tables.words.get(address)

    def keep(self, unit: Unit, parts: tuple[Part, ...], entry: Entry) -> None:
        """Remember an outcome."""
        if self.made >= _MOST_ENTRIES:
            return
        patterns = self._patterns.setdefault(unit.head, [])
        pattern = next((one for one in patterns if one.parts == parts), None)
        if pattern is None:
            pattern = _Pattern(parts)
            patterns.append(pattern)
        pattern.entries.setdefault(pattern.key(unit.body), []).append(entry)
        # A word that one section leaves and another needs ties the two together.
        who = (unit.section.idstr, unit.section.instance_id)
        for address in entry.leaves:
            if self._left_by.setdefault(address, who) != who:
                self._left_by[address] = ()
            if self._needed_by.get(address, who) != who:
                self._shared.add(address)
        for address in entry.needs:
            if self._needed_by.setdefault(address, who) != who:
                self._needed_by[address] = ()
            if self._left_by.get(address, who) != who:
                self._shared.add(address)


class _Watched(Replay):
    """A replay that looks sections up before it replays them, and watches those that it does.

    :ivar past: entries of the sections so far, with their bodies.
    :ivar whole: every section has an entry that is kept.
    """

    def __init__(self, ready: Ready, memo: Memo, origin: Profile | None) -> None:
        super().__init__(ready.stream, memo.destination, origin)
        self._memo = memo
        self._units = iter(ready.units)
        self._body: bytes | None = None
        self.past: list[tuple[Entry, bytes]] = []
        self.whole = True
        self._watched: list[_Wire] = []
        self._news: list[tuple[Unit, Entry, tuple[_Wire, ...]]] = []
        self._words = _Memory(memo.destination.tables.words, self)
        self.seen_at_end: set[str] = set()

    def outer(self, address: Address) -> int | None:
        """What a word of memory has before the section that is being loaded."""
        return self._memo.outer(address, self.past)

    def _memory(self) -> Memory:
        return self._words

    def _show(
        self,
        point: object,
        *,
        device: str | None = None,
        instance_id: int | None = None,
        outer: tuple[Words, ...] = (),
    ) -> bool:
        if isinstance(point, points.StreamLoaded):
            sections = tuple(_looked_at(one, self) for one in point.sections)
            point = replace(point, sections=sections)
        return super()._show(point, device=device, instance_id=instance_id, outer=outer)

    def look(self, section: Section) -> None:
        """A rule at the end looks into a section's body."""
        if section.kind in {SectionKind.START, SectionKind.FULL}:
            self.seen_at_end.add(section.idstr)
        else:
            self.whole = False

    def _wire(self, section: Section, more: Callable[[], bytes]) -> Wire:
        wire = _Wire(section, section.body if self._body is None else self._body, more)
        self._watched.append(wire)
        self._words.wire = wire
        return wire

    def _load(self, section: Section, memory: Memory, more: Callable[[], bytes]) -> int | None:
        unit = next(self._units, None)
        if unit is None or unit.section is not section:  # of an undelimited span
            self.whole = False
            self._body = None
            self._words.begin(section)
            return super()._load(section, memory, more)
        known = self._memo.find(unit, self.past)
        if known is not None:
            self.sections += 1
            self.found.extend(replace(one, order=self._order) for one in known.found)
            self.unexamined.extend((self._order, reason) for reason in known.unexamined)
            self.unchecked.extend(known.unchecked)
            self._cpus.extend(known.cpus)
            self.past.append((known, unit.body))
            return known.consumed
        return self._record(unit, memory, more)

    def _record(self, unit: Unit, memory: Memory, more: Callable[[], bytes]) -> int | None:
        marks = len(self.found), len(self.unexamined), len(self.unchecked), len(self._cpus)
        self._watched.clear()
        self._body = unit.body
        self._words.begin(unit.section)
        consumed = super()._load(unit.section, memory, more)
        self._memo.made += 1
        entry = Entry(
            number=self._memo.made,
            found=tuple(self.found[marks[0] :]),
            unexamined=tuple(reason for _, reason in self.unexamined[marks[1] :]),
            unchecked=tuple(self.unchecked[marks[2] :]),
            consumed=consumed,
            needs=self._words.needs,
            leaves=self._words.leaves,
            cpus=tuple(self._cpus[marks[3] :]),
            section_id=unit.section.section_id if len(self.found) > marks[0] else None,
        )
        self.past.append((entry, unit.body))
        self._news.append((unit, entry, tuple(self._watched)))
        return consumed

    def keep(self) -> None:
        """Remember what was replayed. At the end, since rules there look at sections again."""
        for unit, entry, wires in self._news:
            if any(wire.went_beyond for wire in wires):
                self.whole = False
                continue
            parts = wires[0].parts() if wires else ()
            for wire in wires:
                wire.known = [place for *place, how in parts if how == _EXACTLY]
            self._memo.keep(unit, parts, entry)


class _Looked(Section):
    """A section that tells when its body is looked into."""

    __slots__ = ("_real", "_watcher")
    _real: Section
    _watcher: _Watched

    @property
    def body(self) -> Buffer:
        """The bytes, noted as seen."""
        self._watcher.look(self._real)
        return self._real.body


def _looked_at(section: Section, watcher: _Watched) -> Section:
    found = object.__new__(_Looked)
    for one in dataclasses.fields(Section):
        if one.name != "body":
            object.__setattr__(found, one.name, getattr(section, one.name))
    object.__setattr__(found, "_real", section)
    object.__setattr__(found, "_watcher", watcher)
    return found


class _StaleError(Exception):
    """A value was asked for that no equality has been asked of."""


class _Wire(Wire):
    """Notes which bytes were looked at.

    :ivar passing: what is read now is put away unseen.
    :ivar last: place of what was read last, and the view that was given.
    :ivar went_beyond: bytes of the sections behind this one were read.
    :ivar known: places whose bytes are the same in every stream with this section's entry; None
        as long as the section is being watched.
    """

    __slots__ = (
        "_asked",
        "_body",
        "_footer",
        "_seen",
        "known",
        "last",
        "last_view",
        "passing",
        "went_beyond",
    )

    def __init__(self, section: Section, body: Buffer, more: Callable[[], bytes]) -> None:
        super().__init__(body, more)
        self.known: list[list[int]] | None = None
        self._body = self._data
        self._footer = b"\x7e" + section.section_id.to_bytes(4, "big") if section.footer else b""
        self._seen: list[Place] = []
        self._asked: list[Part] = []
        self.passing = False
        self.last: Place = (0, 0)
        self.last_view: memoryview | None = None
        self.went_beyond = False

    def see(self, place: Place) -> None:
        """Note that these bytes decide.

        :raise _StaleError: of a section whose deciding bytes have been fixed without these.
        """
        if self.known is None:
            self._seen.append(place)
        elif place[1] > place[0] and not any(
            first <= place[0] and place[1] <= end for first, end in self.known
        ):
            raise _StaleError

    def put_away(self) -> None:
        """What was read last was only stored."""
        if self._seen and self._seen[-1] == self.last:
            self._seen.pop()

    def under(self, mask: int) -> None:
        """What was read last was only compared under a mask (little-endian, as a whole)."""
        if self._seen and self._seen[-1] == self.last:
            self._seen.pop()
            if mask:
                self._asked.append((*self.last, mask))

    def parts(self) -> tuple[Part, ...]:
        """The bytes that decided, those that did exactly in order and without overlaps."""
        out: list[Part] = []
        for first, end in sorted((first, min(end, self.size)) for first, end in self._seen):
            if end <= first:
                continue
            if out and first <= out[-1][1]:
                out[-1] = (out[-1][0], max(out[-1][1], end), _EXACTLY)
            else:
                out.append((first, end, _EXACTLY))
        return (*out, *sorted({part for part in self._asked if part[1] <= self.size}))

    def view(self, count: int) -> memoryview:
        start = self.pos
        found = super().view(count)
        self.last = (start, self.pos)
        self.last_view = found
        if not self.passing:
            self._seen.append(self.last)
        self._check()
        return found

    def nonzero(self, count: int) -> bool:
        data = super().view(count)
        self._asked.append((self.pos - count, self.pos, _NONZERO))
        self._check()
        return any(data)

    def subsection_begins(self) -> bool:
        """Whether the next byte says that a subsection follows."""
        head = super().peek(1)
        self._asked.append((self.pos, self.pos + 1, _SUBSECTION))
        return len(head) == 1 and head[0] == 5

    def skip(self, count: int) -> None:
        super().skip(count)
        self._check()

    def _check(self) -> None:
        """Contents from behind the body are not in its key."""
        if self.pos > self.size:
            self.went_beyond = True

    def peek(self, count: int, at: int = 0) -> memoryview:
        found = super().peek(count, at)
        first = self.pos + at
        self._seen.append((first, first + len(found)))
        return found

    def _extend(self, end: int) -> None:
        """The footer's bytes are no news; the sections behind are, and are not noted."""
        if end <= self.size + len(self._footer):
            self._data = memoryview(bytes(self._body) + self._footer)
            return
        self.went_beyond = True
        self._data = self._body
        super()._extend(end)


class _Values(dict[str, Any]):
    """Values of a body's fields; what is asked for decides."""

    __slots__ = ("_places", "_wire")

    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire
        self._places: dict[str, Place] = {}

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        wire = self._wire
        self._places[name] = wire.last
        if value is wire.last_view:
            wire.put_away()

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return dict.__getitem__(self, name)

    def _see(self, name: str) -> None:
        place = self._places.get(name)
        if place is not None:
            self._wire.see(place)

    def __getitem__(self, name: str) -> Any:
        self._see(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self._see(name)
        return super().get(name, default)

    def values(self) -> Any:
        for name in self._places:
            self._see(name)
        return super().values()

    def items(self) -> Any:
        for name in self._places:
            self._see(name)
        return super().items()


class _Memory(Memory):
    """The destination's words as one section finds and leaves them."""

    __slots__ = ("_own", "_replay", "leaves", "needs", "wire")

    def __init__(self, words: Mapping[Address, int], replay: _Watched) -> None:
        super().__init__(words)
        self._replay = replay
        self._own: dict[Address, int] = {}
        self.leaves: dict[Address, int | Place] = {}
        self.needs: dict[Address, int | None] = {}
        self.wire: _Wire | None = None

    def begin(self, section: Section) -> None:
        """Begin a section; what it allocates depends on nothing but its name."""
        name = f"{section.idstr} {section.instance_id}".encode("utf-8", "surrogateescape")
        self._next = _ALLOCATED + (zlib.crc32(name) << 64)
        self._own = {}
        self.leaves = {}
        self.needs = {}
        self.wire = None

    def get(self, address: int, width: int) -> int | None:
        key = (address, width)
        left = self.leaves.get(key)
        if left is not None:
            if not isinstance(left, int) and self.wire is not None:
                self.wire.see(left)
            return self._own[key]
        if key not in self.needs:
            self.needs[key] = self._replay.outer(key)
        return self.needs[key]

    def set(self, address: int, width: int, value: int) -> None:
        key = (address, width)
        value &= (1 << 8 * width) - 1
        self._own[key] = value
        wire = self.wire
        self.leaves[key] = wire.last if wire is not None and wire.passing else value


class _Loader(Loader):
    """A loader whose plain fields are put away unseen."""

    __slots__ = ()

    def _put_away(self, passing: bool) -> _Wire:
        wire = self.wire
        assert isinstance(wire, _Wire)
        wire.passing = passing
        return wire

    def begun(self, body: Loading) -> None:
        wire = self.wire
        assert isinstance(wire, _Wire)
        body.values = _Values(wire)

    def show(self, point: object) -> None:
        super().show(point)
        if isinstance(point, points.PciConfigRead):  # and no rule refuses it
            wire = self.wire
            assert isinstance(wire, _Wire)
            wire.under(_compared(point.masks, len(point.config)))

    def _subsections(self, body: Loading, description: VmsdBody | None) -> None:
        wire = self.wire
        assert isinstance(wire, _Wire)
        if wire.subsection_begins():
            super()._subsections(body, description)

    def _bulk(self, body: Loading, item: VmField, count: int) -> bool:
        self._put_away(passing=True)
        try:
            return super()._bulk(body, item, count)
        finally:
            self._put_away(passing=False)

    def element(
        self,
        body: Loading,
        item: VmField,
        element: int,
        size: int,
        descriptions: tuple[VmsdBody, ...],
    ) -> None:
        passing = item.info in _PASSED_BY
        self._put_away(passing=passing)
        try:
            super().element(body, item, element, size, descriptions)
        finally:
            self._put_away(passing=False)


def _compared(masks: PciMasks, size: int) -> int:
    """Bits that ``get_pci_config_device`` compares, as rule ``pci-config`` has it."""
    count = min(size, len(masks.config))
    compared = int.from_bytes(masks.cmask[:count], "little")
    written = int.from_bytes(masks.wmask[:count], "little")
    cleared = int.from_bytes(masks.w1cmask[:count], "little")
    return compared & ~written & ~cleared


_Watched.LOADER = _Loader
