"""Does a layout of QEMU's tables make sense of what is in a process's memory?

Many layouts fit one structure by chance (a null pointer fits nearly everything), none but the right
one fits all descriptions of a machine: names are text, hooks are code, flags are known, arrays have
elements, types are named, and what each machine has is as it has to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migratable.profile.memory.process import ProcessMemory
from migratable.profile.tables import Flag


@dataclass(frozen=True, slots=True)
class FieldLayout:
    """``struct VMStateField``: its size in bytes, its :mod:`struct` format, names in that order."""

    size: int
    fmt: str
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """Offsets in ``VMStateDescription``, by the place of its ``fields`` pointer.

    :ivar hooks: offset of each hook's pointer, by name.
    :ivar minimum_old: offset of ``minimum_version_id_old`` (up to 7.1), None later.
    :ivar field: how the members of a ``VMStateField`` are laid out.
    """

    fields: int
    subsections: int
    hooks: tuple[tuple[str, int], ...]
    minimum_old: int | None = None
    field: FieldLayout = FieldLayout(size=0, fmt="", members=())


#: All of ``enum VMStateFlags``.
KNOWN_FLAGS = sum(Flag)
_STRUCTS = int(Flag.STRUCT | Flag.VSTRUCT)
_MOST_VMSDS = 60
_MOST_FIELDS = 512
_LONGEST = 1 << 32
_MOST_ELEMENTS = 1 << 24
#: eeprom has the day of a release, 20061113.
_HIGHEST_VERSION = 1 << 28
#: A structure that every machine has, which has both of these hooks in all releases.
_BOTH_HOOKS = "cpu_common"


class Probe:
    """One layout, tried on the descriptions of a process."""

    def __init__(self, memory: ProcessMemory, layout: Layout) -> None:
        """Prepare; nothing is read."""
        self._memory = memory
        self._layout = layout
        self._arrays = 0
        self._seen: set[int] = set()

    def fits(self, addresses: Sequence[int]) -> bool:
        """Whether all of the descriptions make sense, and show enough to tell."""
        waiting = list(addresses)
        while waiting and len(self._seen) < _MOST_VMSDS:
            address = waiting.pop(0)
            if address in self._seen:
                continue
            self._seen.add(address)
            inner = self._description(address)
            if inner is None:
                return False
            waiting += inner
        return self._arrays > 0

    def sensible(self, address: int) -> bool:
        """Whether one description makes sense by itself."""
        return self._description(address) is not None

    def _stub(self, address: int) -> bool:
        """Zeros: hw/acpi/*-stub.c, linked where a feature is not built (aarch64 with UEFI)."""
        data = self._memory.read(address, self._layout.subsections + 8)
        return data is not None and not any(data)

    def _code(self, pointer: int | None) -> bool:
        if not pointer:
            return pointer == 0
        region = self._memory.region(pointer)
        return region is not None and "x" in region.permissions

    def _description(self, address: int) -> list[int] | None:
        """Descriptions that this one leads to, None when it makes no sense."""
        memory, layout = self._memory, self._layout
        if self._stub(address):
            return []
        name = memory.string(memory.word(address) or 0)
        flags = memory.read(address + 8, 4)
        versions = memory.unpack("ii", address + 12)
        fields = memory.word(address + layout.fields)
        subsections = memory.word(address + layout.subsections)
        if not name or flags is None or versions is None or fields is None or subsections is None:
            return None
        if max(flags) > 1 or not -1 <= versions[1] <= versions[0] < _HIGHEST_VERSION:
            return None
        hooks = {hook: memory.word(address + offset) for hook, offset in layout.hooks}
        if not all(map(self._code, hooks.values())):
            return None
        if name == _BOTH_HOOKS and not (
            (hooks.get("pre_load") or hooks.get("pre_load_errp"))
            and (hooks.get("post_load") or hooks.get("post_load_errp"))
        ):
            return None
        found: list[int] = []
        for read in (self._fields(fields), self._subsections(subsections)):
            if read is None:
                return None
            found += read
        return found

    def _fields(self, address: int) -> list[int] | None:
        layout = self._layout.field
        found: list[int] = []
        if not address:
            return []
        for index in range(_MOST_FIELDS):
            raw = self._memory.unpack(layout.fmt, address + index * layout.size)
            if raw is None:
                return None
            if raw[0] == 0:
                return found
            field = dict(zip(layout.members, raw, strict=True))
            if not self._field(field):
                return None
            if field["vmsd"]:
                found.append(field["vmsd"])
        return None

    def _field(self, field: dict[str, int]) -> bool:
        memory, flags = self._memory, field["flags"]
        if (
            not memory.string(field["name"])
            or flags & ~KNOWN_FLAGS
            or not self._code(field["test"])
        ):
            return False
        if max(field["offset"], field["size"], field["start"], field["num_offset"]) >= _LONGEST:
            return False
        if not 0 <= field["num"] < _MOST_ELEMENTS or field["size_offset"] >= _LONGEST:
            return False
        hint = field.get("err_hint", 0)
        if hint and memory.string(hint) is None:
            return False
        if flags & Flag.MUST_EXIST and field["test"] and not field["info"]:
            return field["num"] == 0  # VMSTATE_VALIDATE: an array without elements
        if field["info"] and not memory.string(memory.word(field["info"]) or 0):
            return False
        if flags & _STRUCTS and field["vmsd"]:
            named = memory.string(memory.word(field["vmsd"]) or 0)
            if not named and not self._stub(field["vmsd"]):
                return False
        elif not field["info"] and not flags & _STRUCTS:
            return False
        if flags & Flag.ARRAY:
            self._arrays += 1
            return field["num"] > 0
        width = field.get("num_width")
        counted = flags & (
            Flag.VARRAY_INT32 | Flag.VARRAY_UINT32 | Flag.VARRAY_UINT16 | Flag.VARRAY_UINT8
        )
        return not counted or width in {None, 1, 2, 4, 8}

    def _subsections(self, address: int) -> list[int] | None:
        if not address:
            return []
        found: list[int] = []
        for number in range(_MOST_FIELDS):
            pointer = self._memory.word(address + 8 * number)
            if pointer is None:
                return None
            if not pointer:
                return found
            found.append(pointer)
        return None
