"""Follow a stream's own description of a body (vmdesc) beside the destination's table."""

from __future__ import annotations

from migratable.check.vmstate_flags import VMS_ARRAY_OF_POINTER_AUTO_ALLOC, VMS_VBUFFER
from migratable.profile.tables import VmField, Vmsd
from migratable.stream.vmdesc import VmsdBody

#: Types whose size on the wire is that of the table.
SIZED = frozenset({"pci config", "buffer", "unused_buffer"})


class VmdescCursor:
    """The stream's own description of a body, followed field by field."""

    __slots__ = ("_at", "_fields", "_items", "_names", "known")

    def __init__(self, description: VmsdBody | None, vmsd: Vmsd) -> None:
        self.known = description is not None
        self._fields = description.fields if description is not None else ()
        self._at = 0
        self._items = vmsd.fields
        self._names: tuple[str, ...] = ()

    def has(self, position: int) -> bool:
        """Whether the next field that was written is the table's at *position*."""
        if self._at >= len(self._fields):
            return False
        item = self._items[position]
        entry = self._fields[self._at]
        if item.info in SIZED and not item.flags & VMS_VBUFFER and entry.size != item.size:
            return False
        if not self._names:
            self._names = described_names(self._items)
        return entry.name == self._names[position]

    def next_field(self, position: int, count: int) -> tuple[tuple[VmsdBody, ...], int | None]:
        """Move behind a field's entries; the bodies of its elements, and its bytes if stated."""
        if not self.known or not self.has(position):
            return (), None
        bodies: list[VmsdBody] = []
        taken = size = 0
        while taken < max(count, 1) and self.has(position):
            entry = self._fields[self._at]
            if taken and entry.array_len is not None and taken + entry.count > count:
                break
            self._at += 1
            size += entry.total_size
            if (
                entry.type == "ptr-marker"
                and self._items[position].flags & VMS_ARRAY_OF_POINTER_AUTO_ALLOC
            ):
                # The object's own entry follows, if there is one.
                taken += self._at >= len(self._fields) or self._fields[self._at].struct is None
                continue
            taken += entry.count
            if entry.struct is not None:
                bodies.extend([entry.struct] * min(entry.count, count))
            bodies.extend(entry.elements)
        return tuple(bodies), size


def described_names(fields: tuple[VmField, ...]) -> tuple[str, ...]:
    """Names as vmdesc has them: one that a table has twice gets its number (``config[1]``)."""
    times: dict[str, int] = {}
    for item in fields:
        times[item.name] = times.get(item.name, 0) + 1
    seen: dict[str, int] = {}
    names: list[str] = []
    for item in fields:
        number = seen.get(item.name, 0)
        seen[item.name] = number + 1
        names.append(f"{item.name}[{number}]" if times[item.name] > 1 else item.name)
    return tuple(names)
