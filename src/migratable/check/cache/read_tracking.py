"""Watching a replay: which bytes of a section decide, and what passes from section to section.

The loader of :mod:`migratable.check` is given a :class:`WatchedQemuFile`, :class:`WatchedValues`
and a :class:`WatchedMemory`. What is read at once into a field's value is not noted; what a
rule, a hook, a count or a test then asks for is.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from migratable.check import events
from migratable.check.qemu_file import QemuFile
from migratable.check.state import LoadedState, Memory
from migratable.check.vmstate import PLAIN, Loader
from migratable.check.vmstate_types import FIXED
from migratable.profile.tables import PciMasks, VmField
from migratable.stream.cursor import Buffer
from migratable.stream.model import Section
from migratable.stream.vmdesc import VmsdBody

Address: TypeAlias = tuple[int, int]
"""A word of the destination's memory: where, and how many bytes it has."""
Place: TypeAlias = tuple[int, int]
"""Bytes of a section's body: first, and the first behind."""
Part: TypeAlias = tuple[int, int, int]
"""Bytes that decided, and how: exactly, under a mask of bits, or by one of the questions below."""

EXACTLY = 0
NONZERO = -1
SUBSECTION = -2
"""Whether a subsection begins there: the byte 5. Asked behind every body, and mostly answered by
the first byte of whatever comes next."""
_ALLOCATED = 1 << 60
_PASSED_BY = frozenset({*PLAIN, *FIXED, "buffer", "bitmap", "unused_buffer"})


class _Looked(Section):
    """A section that tells when its body is looked into."""

    __slots__ = ("_real", "_watcher")
    _real: Section
    _watcher: Callable[[Section], None]

    @property
    def body(self) -> Buffer:
        """The bytes, noted as seen."""
        self._watcher(self._real)
        return self._real.body


def looked_at(section: Section, watcher: Callable[[Section], None]) -> Section:
    """A section whose *watcher* is called when its body is looked into."""
    found = object.__new__(_Looked)
    for one in dataclasses.fields(Section):
        if one.name != "body":
            object.__setattr__(found, one.name, getattr(section, one.name))
    object.__setattr__(found, "_real", section)
    object.__setattr__(found, "_watcher", watcher)
    return found


class StaleError(Exception):
    """A value was asked for that no equality has been asked of."""


class WatchedQemuFile(QemuFile):
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

        :raise StaleError: of a section whose deciding bytes have been fixed without these.
        """
        if self.known is None:
            self._seen.append(place)
        elif place[1] > place[0] and not any(
            first <= place[0] and place[1] <= end for first, end in self.known
        ):
            raise StaleError

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
                out[-1] = (out[-1][0], max(out[-1][1], end), EXACTLY)
            else:
                out.append((first, end, EXACTLY))
        return (*out, *sorted({part for part in self._asked if part[1] <= self.size}))

    def view(self, count: int) -> memoryview:
        """Read bytes, which decide unless they are only passed by."""
        start = self.pos
        found = super().view(count)
        self.last = (start, self.pos)
        self.last_view = found
        if not self.passing:
            self._seen.append(self.last)
        self._check()
        return found

    def nonzero(self, count: int) -> bool:
        """Read bytes of which only that decides whether one is not 0."""
        data = super().view(count)
        self._asked.append((self.pos - count, self.pos, NONZERO))
        self._check()
        return any(data)

    def subsection_begins(self) -> bool:
        """Whether the next byte says that a subsection follows."""
        head = super().peek(1)
        self._asked.append((self.pos, self.pos + 1, SUBSECTION))
        return len(head) == 1 and head[0] == 5

    def skip(self, count: int) -> None:
        """Read bytes that decide nothing."""
        super().skip(count)
        self._check()

    def _check(self) -> None:
        """Contents from behind the body are not in its key."""
        if self.pos > self.size:
            self.went_beyond = True

    def peek(self, count: int, at: int = 0) -> memoryview:
        """Look at bytes, which decide."""
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


class WatchedValues(dict[str, Any]):
    """Values of a body's fields; what is asked for decides."""

    __slots__ = ("_places", "_wire")

    def __init__(self, wire: WatchedQemuFile) -> None:
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
        """A value, stored unseen when it is the first of its name."""
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
        """A value that decides."""
        self._see(name)
        return super().get(name, default)

    def values(self) -> Any:
        """All values; all decide."""
        for name in self._places:
            self._see(name)
        return super().values()

    def items(self) -> Any:
        """All names and values; all decide."""
        for name in self._places:
            self._see(name)
        return super().items()


class WatchedMemory(Memory):
    """The destination's words as one section finds and leaves them."""

    __slots__ = ("_outer", "_own", "leaves", "needs", "wire")

    def __init__(
        self, words: Mapping[Address, int], outer: Callable[[Address], int | None]
    ) -> None:
        super().__init__(words)
        self._outer = outer
        self._own: dict[Address, int] = {}
        self.leaves: dict[Address, int | Place] = {}
        self.needs: dict[Address, int | None] = {}
        self.wire: WatchedQemuFile | None = None

    def begin(self, section: Section) -> None:
        """Begin a section; what it allocates depends on nothing but its name."""
        name = f"{section.idstr} {section.instance_id}".encode("utf-8", "surrogateescape")
        self._next = _ALLOCATED + (zlib.crc32(name) << 64)
        self._own = {}
        self.leaves = {}
        self.needs = {}
        self.wire = None

    def get(self, address: int, width: int) -> int | None:
        """A word: bytes of this section that so decide, or what another left."""
        key = (address, width)
        left = self.leaves.get(key)
        if left is not None:
            if not isinstance(left, int) and self.wire is not None:
                self.wire.see(left)
            return self._own[key]
        if key not in self.needs:
            self.needs[key] = self._outer(key)
        return self.needs[key]

    def set(self, address: int, width: int, value: int) -> None:
        """Note what this section leaves there."""
        key = (address, width)
        value &= (1 << 8 * width) - 1
        self._own[key] = value
        wire = self.wire
        self.leaves[key] = wire.last if wire is not None and wire.passing else value


class WatchedLoader(Loader):
    """A loader whose plain fields are put away unseen."""

    __slots__ = ()

    def _put_away(self, passing: bool) -> WatchedQemuFile:
        wire = self.wire
        assert isinstance(wire, WatchedQemuFile)
        wire.passing = passing
        return wire

    def begun(self, body: LoadedState) -> None:
        """Watch the values of a new body."""
        wire = self.wire
        assert isinstance(wire, WatchedQemuFile)
        body.values = WatchedValues(wire)

    def show(self, point: object) -> None:
        """Show a point; a PCI configuration is only compared under its masks."""
        super().show(point)
        if isinstance(point, events.PciConfigRead):  # and no rule refuses it
            wire = self.wire
            assert isinstance(wire, WatchedQemuFile)
            wire.under(_compared(point.masks, len(point.config)))

    def _subsections(self, body: LoadedState, description: VmsdBody | None) -> None:
        wire = self.wire
        assert isinstance(wire, WatchedQemuFile)
        if wire.subsection_begins():
            super()._subsections(body, description)

    def _bulk(self, body: LoadedState, item: VmField, count: int) -> bool:
        self._put_away(passing=True)
        try:
            return super()._bulk(body, item, count)
        finally:
            self._put_away(passing=False)

    def element(
        self,
        body: LoadedState,
        item: VmField,
        element: int,
        size: int,
        descriptions: tuple[VmsdBody, ...],
    ) -> None:
        """Read an element; of a type that nobody looks into it is put away unseen."""
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
