"""What a prediction looked at, section by section, so that it need not be made twice.

While one section is replayed, :mod:`.watch` notes every byte that decided something: read by a rule
or a hook, as a count, a flag or a version. Most bytes of a device's state are only passed by. A
section whose deciding bytes are those of an earlier one gets its outcome, whatever else is in it;
guests that differ in registers, clocks and addresses alone are equal here.

This is sound because a replay of a section is a function of what it reads: the same deciding bytes
lead along the same path. What one section leaves in the destination's memory for another is noted
with both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from migratable.check import events
from migratable.check.baseline import Destination
from migratable.check.cache.prepared_stream import Ready, Unit
from migratable.check.cache.read_tracking import (
    EXACTLY,
    NONZERO,
    SUBSECTION,
    Address,
    Part,
    Place,
    StaleError,
    WatchedLoader,
    WatchedMemory,
    WatchedQemuFile,
    looked_at,
)
from migratable.check.problem import MessageRef
from migratable.check.qemu_file import QemuFile
from migratable.check.savevm import Found, Replay
from migratable.check.state import LoadedState, Memory
from migratable.check.vmstate import Loader
from migratable.profile.model import Profile
from migratable.stream.model import Section, Span
from migratable.stream.wire_format import SectionKind

_IS_FIVE = bytes(byte == 5 for byte in range(256))
_CPU = "cpu"
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
    cpus: tuple[LoadedState, ...] = ()
    section_id: int | None = None


class _Pattern:
    """Entries whose deciding bytes are at the same places."""

    __slots__ = ("_asked", "_masked", "_nonzero", "_places", "entries", "parts")

    def __init__(self, parts: tuple[Part, ...]) -> None:
        self.parts = parts
        self.entries: dict[tuple[bytes, ...], list[Entry]] = {}
        self._places = [slice(first, end) for first, end, how in parts if how == EXACTLY]
        self._nonzero = [
            (slice(first, end), bytes(end - first)) for first, end, how in parts if how == NONZERO
        ]
        self._asked = [first for first, _, how in parts if how == SUBSECTION]
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
        except StaleError:
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

    LOADER: ClassVar[type[Loader]] = WatchedLoader

    def __init__(self, ready: Ready, memo: Memo, origin: Profile | None) -> None:
        super().__init__(ready.stream, memo.destination, origin)
        self._memo = memo
        self._units = iter(ready.units)
        self._body: bytes | None = None
        self.past: list[tuple[Entry, bytes]] = []
        self.whole = True
        self._watched: list[WatchedQemuFile] = []
        self._news: list[tuple[Unit, Entry, tuple[WatchedQemuFile, ...]]] = []
        self._words = WatchedMemory(memo.destination.tables.words, self.outer)
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
        outer: tuple[MessageRef, ...] = (),
    ) -> bool:
        if isinstance(point, events.StreamLoaded):
            sections = tuple(looked_at(one, self.look) for one in point.sections)
            point = replace(point, sections=sections)
        return super()._show(point, device=device, instance_id=instance_id, outer=outer)

    def look(self, section: Section) -> None:
        """A rule at the end looks into a section's body."""
        if section.kind in {SectionKind.START, SectionKind.FULL}:
            self.seen_at_end.add(section.idstr)
        else:
            self.whole = False

    def _wire(self, section: Section, more: Callable[[], bytes]) -> QemuFile:
        wire = WatchedQemuFile(section, section.body if self._body is None else self._body, more)
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
                wire.known = [place for *place, how in parts if how == EXACTLY]
            self._memo.keep(unit, parts, entry)
