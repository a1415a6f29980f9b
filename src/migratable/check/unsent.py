"""Parts that a machine at power-on has not sent yet, and that the destination reads differently.

A subsection that is known to both sides is no difference between their tables. Its layout may be:
how many elements an array in it has, and the values that must be equal, stand in the memory of each
machine (``VMSTATE_*_VARRAY_*``, ``VMSTATE_*_EQUAL``). When the guest makes the source send it, the
destination reads more or fewer bytes than came, or refuses the value. CPU hot-plug is one: the
subsection has an element for each possible CPU once the guest has switched it on (``maxcpus=``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from migratable.check import devices
from migratable.check.state import LoadedState, Memory
from migratable.facts.field_types import COMPARED
from migratable.profile.model import Profile
from migratable.profile.tables import Flag, LoaderTables, VmField, Vmsd

_DEEPEST = 16
_ARRAYS = Flag.ARRAY | Flag.ARRAY_OF_POINTER
_STRUCTS = Flag.STRUCT | Flag.VSTRUCT


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field of a subsection that was not sent.

    :ivar counts: the numbers are of elements; else they are values that must be equal.
    """

    idstr: str
    subsection: str
    field: str
    source: int
    destination: int
    counts: bool


def differences(
    source: Profile, destination: Profile, arrived: Callable[[str, str], bool]
) -> Iterator[Difference]:
    """Compare two machines' memories in what one of them has not sent.

    :param arrived: whether a section of that idstr came with that subsection.
    """
    if source.loader is None or destination.loader is None:
        return
    walk = _Walk(_Side(source, source.loader), _Side(destination, destination.loader), arrived)
    known = {
        (handler.idstr, handler.instance_id): handler for handler in destination.loader.handlers
    }
    for handler in source.loader.handlers:
        other = known.get((handler.idstr, handler.instance_id))
        if handler.vmsd is None or other is None or other.vmsd is None:
            continue
        walk.idstr = handler.idstr
        yield from walk.bodies(handler.vmsd, other.vmsd, handler.opaque, other.opaque, "", 0)


class _Side:
    """One machine: its tables and its memory, as far as it is known."""

    def __init__(self, profile: Profile, tables: LoaderTables) -> None:
        self.profile = profile
        self.vmsds = tables.vmsds
        self.memory = Memory(tables.words)

    def begin(self, index: int, opaque: int) -> None:
        """Do what the device's own hook does before such a subsection (CPU hot-plug's rows)."""
        vmsd = self.vmsds[index]
        body = LoadedState(index=index, vmsd=vmsd, opaque=opaque, version=vmsd.version)
        devices.prepare(body, self.memory, self.profile)


class _Walk:
    def __init__(
        self, source: _Side, destination: _Side, arrived: Callable[[str, str], bool]
    ) -> None:
        self._source = source
        self._destination = destination
        self._arrived = arrived
        self._told: set[tuple[str, str]] = set()
        self.idstr = ""

    def bodies(  # noqa: PLR0917 -- vmstate_load_state, for both sides
        self, theirs: int, ours: int, there: int, here: int, subsection: str, depth: int
    ) -> Iterator[Difference]:
        """Two bodies at their addresses; *subsection* is the outermost one that was not sent."""
        if depth > _DEEPEST:
            return
        source, destination = self._source.vmsds[theirs], self._destination.vmsds[ours]
        named = {self._destination.vmsds[vmsd].name: vmsd for vmsd in destination.subsections}
        for index in source.subsections:
            name = self._source.vmsds[index].name
            if name not in named or (not subsection and self._arrived(self.idstr, name)):
                continue
            self._source.begin(index, there)
            self._destination.begin(named[name], here)
            yield from self.bodies(index, named[name], there, here, subsection or name, depth + 1)
        for mine, other in _common(source, destination):
            if subsection:
                yield from self._field(mine, other, there, here, subsection)
            if mine.vmsd is None or other.vmsd is None or not mine.flags & _STRUCTS:
                continue
            if mine.flags & _ARRAYS or mine.counter is not None:
                continue
            first = self._first(self._source, mine, there)
            second = self._first(self._destination, other, here)
            if first and second:
                yield from self.bodies(mine.vmsd, other.vmsd, first, second, subsection, depth + 1)

    def _field(
        self, mine: VmField, other: VmField, there: int, here: int, subsection: str
    ) -> Iterator[Difference]:
        counts = mine.counter is not None
        if counts and other.counter is not None and mine.counter is not None:
            first = self._source.memory.get(there + mine.counter[0], mine.counter[1])
            second = self._destination.memory.get(here + other.counter[0], other.counter[1])
        elif mine.info in COMPARED and other.info == mine.info:
            width = COMPARED[mine.info]
            first = self._source.memory.get(there + mine.offset, width)
            second = self._destination.memory.get(here + other.offset, width)
        else:
            return
        if first is None or second is None or (self.idstr, subsection) in self._told:
            return
        if not (first > second if mine.info == "int32 le" else first != second):
            return
        self._told.add((self.idstr, subsection))
        yield Difference(
            idstr=self.idstr,
            subsection=subsection,
            field=mine.name,
            source=first,
            destination=second,
            counts=counts,
        )

    def _first(self, side: _Side, item: VmField, base: int) -> int | None:
        address = base + item.offset
        return side.memory.get(address, 8) if item.flags & Flag.POINTER else address


def _common(source: Vmsd, destination: Vmsd) -> Iterator[tuple[VmField, VmField]]:
    """Fields of the same name that always are there, on both sides."""
    named = {field.name: field for field in destination.fields if not field.test}
    for item in source.fields:
        other = named.get(item.name)
        if other is not None and not item.test:
            yield item, other
