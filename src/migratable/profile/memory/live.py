"""The values that a walk over the loader's tables reads from the destination's own memory."""

from __future__ import annotations

from collections.abc import Sequence

from migratable.facts.field_types import COMPARED
from migratable.profile.memory.process import ProcessMemory
from migratable.profile.tables import Flag, VmField, Vmsd

_ARRAYS = (
    Flag.ARRAY | Flag.VARRAY_INT32 | Flag.VARRAY_UINT32 | Flag.VARRAY_UINT16 | Flag.VARRAY_UINT8
)
_STRUCTS = Flag.STRUCT | Flag.VSTRUCT
_MOST_WORDS = 400_000
_DEEPEST = 24


class Recorder:
    """Walks objects by their tables, as the loader will, and keeps each word that steers it.

    :ivar words: value by (address, width in bytes).
    """

    def __init__(self, memory: ProcessMemory, vmsds: Sequence[Vmsd]) -> None:
        """Start with nothing recorded."""
        self._memory = memory
        self._vmsds = vmsds
        self._plain: dict[int, bool] = {}
        self.words: dict[tuple[int, int], int] = {}

    def extend(self, vmsds: Sequence[Vmsd]) -> None:
        """Take descriptions that were read since; earlier indices stay."""
        self._vmsds = vmsds

    def walk(self, index: int, opaque: int, depth: int = 0) -> None:
        """Record what the description *index* reads in the object at *opaque*."""
        vmsd = self._vmsds[index]
        if depth > _DEEPEST or not opaque or len(self.words) > _MOST_WORDS:
            return
        for field in vmsd.fields:
            self._field(field, opaque, depth)
        for subsection in vmsd.subsections:
            if not self.is_plain(subsection):
                self.walk(subsection, opaque, depth + 1)

    def register(self, index: int, opaque: int, name: str, number: int) -> None:
        """Record element *number* of the array *name*, as wide as the table says."""
        for item in self._vmsds[index].fields:
            if item.name == name and number < item.num:
                self._word(opaque + item.offset + number * item.size, item.size)

    def is_plain(self, index: int) -> bool:
        """Whether nothing in *index* depends on memory: the usual case, and then it is skipped."""
        known = self._plain.get(index)
        if known is not None:
            return known
        self._plain[index] = False  # a table that refers to itself is walked
        vmsd = self._vmsds[index]
        plain = all(map(self._is_plain_field, vmsd.fields)) and all(
            map(self.is_plain, vmsd.subsections)
        )
        self._plain[index] = plain
        return plain

    def _is_plain_field(self, field: VmField) -> bool:
        if field.counter is not None or field.info in COMPARED:
            return False
        if field.flags & (Flag.VBUFFER | Flag.POINTER | Flag.ARRAY_OF_POINTER):
            return False
        return not (field.flags & _STRUCTS and field.vmsd is not None) or self.is_plain(field.vmsd)

    def _word(self, address: int, width: int, *, signed: bool = False) -> int | None:
        value = self._memory.word(address, width)
        if value is None:
            return None
        self.words[address, width] = value
        if signed and value >> (8 * width - 1):
            return value - (1 << 8 * width)
        return value

    def _count(self, field: VmField, opaque: int) -> int:
        count = 1
        if field.flags & Flag.ARRAY:
            count = field.num
        elif field.counter is not None:
            offset, width = field.counter
            signed = bool(field.flags & Flag.VARRAY_INT32)
            count = self._word(opaque + offset, width, signed=signed) or 0
        if field.flags & Flag.MULTIPLY_ELEMENTS:
            count *= field.num
        return count

    def _size(self, field: VmField, opaque: int) -> int:
        if not field.flags & Flag.VBUFFER:
            return field.size
        size = self._word(opaque + field.size_offset, 4, signed=True) or 0
        return size * field.size if field.flags & Flag.MULTIPLY else size

    def _field(self, field: VmField, opaque: int, depth: int) -> None:
        if self._is_plain_field(field):
            return
        count = self._count(field, opaque)
        size = self._size(field, opaque)
        first = opaque + field.offset
        if field.flags & Flag.POINTER:
            first = self._word(first, 8) or 0
        structs = bool(field.flags & _STRUCTS) and field.vmsd is not None
        pointers = bool(field.flags & Flag.ARRAY_OF_POINTER)
        if not structs and not pointers and field.info not in COMPARED:
            return
        if not first or count <= 0 or field.flags & Flag.ARRAY_OF_POINTER_AUTO_ALLOC:
            return  # the loader looks at none of its pointers
        if structs and not pointers and field.vmsd is not None and self.is_plain(field.vmsd):
            return
        stride = field.stride if pointers else size
        for element in range(min(count, 1 << 16)):
            at = first + stride * element
            if pointers:
                at = self._word(at, 8) or 0
            if not at:
                continue
            if structs and field.vmsd is not None:
                self.walk(field.vmsd, at, depth + 1)
            elif field.info in COMPARED:
                self._word(at, COMPARED[field.info])
