"""``VMStateDescription`` graphs from a process's memory."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from migratable.errors import ProfileError
from migratable.profile.memory.image import Image
from migratable.profile.memory.layout import IDSTR_SIZE, Entry
from migratable.profile.memory.probe import KNOWN_FLAGS, Layout
from migratable.profile.memory.process import ProcessMemory, Region
from migratable.profile.tables import COUNTED, Flag, Handler, VmField, Vmsd

_MOST_FIELDS = 4096
#: The flag that says how wide a counter is, where the width stands beside its offset (11.1 on).
_FLAG_OF_WIDTH = {1: int(Flag.VARRAY_UINT8), 2: int(Flag.VARRAY_UINT16)}
_MOST_VMSDS = 20_000


_known_places: dict[tuple[str, str, int, int], int] = {}
"""Where a description of a name is in a file (path, time, size): behind its first mapping."""


def _identity(path: str, name: str) -> tuple[str, str, int, int] | None:
    try:
        status = Path(path).stat()
    except OSError:  # replaced since it was started
        return None
    return name, path, status.st_mtime_ns, status.st_size


def _bases(image: list[Region]) -> dict[str, int]:
    """First mapping of each file."""
    found: dict[str, int] = {}
    for region in image:
        found[region.name] = min(region.start, found.get(region.name, region.start))
    return found


class TableReader:
    """Reads descriptions once each; :attr:`vmsds` grows as they are met.

    :raise ProfileError: from any method, when a table is not readable.
    """

    def __init__(self, memory: ProcessMemory, layout: Layout, image: Image) -> None:
        """Start with no description."""
        self._memory = memory
        self._layout = layout
        self.image = image
        self._types: dict[str, dict[int, list[tuple[int, int]]]] = {}
        self._index: dict[int, int] = {}
        self._vmsds: list[Vmsd | None] = []

    @property
    def vmsds(self) -> list[Vmsd]:
        """All descriptions read so far; an index into it is a description's identity."""
        return [vmsd for vmsd in self._vmsds if vmsd is not None]

    def settle_types(self) -> list[str]:
        """Give types that reuse the name of another a name of their own; notes on them.

        A downstream's own ``get`` under a known name reads what nobody knows. The most used type
        is the one that the name stands for.
        """
        notes: list[str] = []
        for name, places in sorted(self._types.items()):
            if len(places) < 2:
                continue
            notes.append(f"{len(places)} types of field are called {name!r}")
            for uses in sorted(places.values(), key=len)[:-1]:
                for index, position in uses:
                    vmsd = self._vmsds[index]
                    assert vmsd is not None
                    fields = list(vmsd.fields)
                    fields[position] = replace(
                        fields[position], info=f"{name} (another type of this name)"
                    )
                    self._vmsds[index] = replace(vmsd, fields=tuple(fields))
        return notes

    def handler(self, entry: Entry) -> Handler:
        """Read one registered handler with all tables behind it."""
        compat: tuple[str, int] | None = None
        if entry.compat:
            name = self._memory.string(entry.compat, IDSTR_SIZE)
            instance = self._memory.word(entry.compat + IDSTR_SIZE, 4)
            if name is not None and instance is not None:
                compat = (name, instance)
        return Handler(
            idstr=entry.idstr,
            instance_id=entry.instance_id,
            alias_id=entry.alias_id,
            version=entry.version,
            vmsd=self.vmsd(entry.vmsd) if entry.vmsd else None,
            opaque=entry.opaque,
            compat=compat,
        )

    def vmsd(self, address: int) -> int:
        """Return the index of the description at *address*, reading it when it is new."""
        known = self._index.get(address)
        if known is not None:
            return known
        index = len(self._vmsds)
        if index >= _MOST_VMSDS:
            raise ProfileError("the destination's description tables do not end")
        self._index[address] = index
        self._vmsds.append(None)  # its place; a table may refer to itself through a list
        self._vmsds[index] = self._read(address, index)
        return index

    def probe(self, address: int) -> int | None:
        """Return the index of a description at *address* if one is there, else None."""
        memory, layout = self._memory, self._layout
        name = memory.word(address)
        fields = memory.word(address + layout.fields)
        if name is None or not fields or not memory.string(name):
            return None
        if memory.word(address + 8, 4) not in {0, 1}:
            return None
        first = memory.word(fields)
        if first is None or (first and memory.string(first) is None):
            return None
        before = dict(self._index), list(self._vmsds)
        try:
            return self.vmsd(address)
        except ProfileError:
            self._index, self._vmsds = before
            return None

    def by_name(self, *names: str) -> dict[str, int]:
        """Find descriptions that no handler leads to by the address of their name.

        The name's bytes are in the program's read-only data, the pointer to it is the first
        member of the description.
        """
        memory = self._memory
        known = {vmsd.name: index for index, vmsd in enumerate(self._vmsds) if vmsd is not None}
        image, tables = list(self.image.regions), self.image.tables
        found: dict[str, int] = {}
        for name in names:
            if name in known:
                found[name] = known[name]
                continue
            index = self._as_before(name, image)
            if index is not None:
                found[name] = index
                continue
            text = name.encode("ascii") + b"\0"
            # As a separate string, or as the tail of another: linkers merge equal tails.
            whole = (at + 1 for at in memory.search(b"\0" + text, iter(tables)))
            rest = itertools.chain(
                memory.search(text, iter(tables)), memory.search(text, iter(image))
            )
            for at in itertools.chain(whole, rest):
                index = self._referrer(at, tables)
                if index is not None:
                    found[name] = index
                    self._remember(name, index, image)
                    break
        return found

    def _as_before(self, name: str, image: list[Region]) -> int | None:
        """Look where it was in another process of the same program."""
        for path, base in _bases(image).items():
            identity = _identity(path, name)
            offset = None if identity is None else _known_places.get(identity)
            index = None if offset is None else self.probe(base + offset)
            if index is not None and self.vmsds[index].name == name:
                return index
        return None

    def _remember(self, name: str, index: int, image: list[Region]) -> None:
        address = next(one for one, number in self._index.items() if number == index)
        region = self._memory.region(address)
        identity = None if region is None else _identity(region.name, name)
        if region is not None and identity is not None:
            _known_places[identity] = address - _bases(image)[region.name]

    def _referrer(self, text: int, tables: list[Region]) -> int | None:
        for at in self._memory.search(self._memory.pack_pointer(text), iter(tables)):
            index = self.probe(at) if at % 8 == 0 else None
            if index is not None:
                return index
        return None

    def _read(self, address: int, index: int) -> Vmsd:
        memory, layout = self._memory, self._layout
        name = memory.string(memory.word(address) or 0)
        # include/migration/vmstate.h: `int unmigratable` up to 8.x, then `bool unmigratable,
        # early_setup`: the same first byte, and the second is zero in the old form.
        numbers = memory.read(address + 8, 16)
        fields = memory.word(address + layout.fields)
        subsections = memory.word(address + layout.subsections)
        if numbers is not None and not any((memory.word(address), fields, subsections, *numbers)):
            # A stub (hw/acpi/*-stub.c): linked where the feature is not built, never entered.
            return Vmsd(name="", version=0, minimum=0)
        if name is None or numbers is None or fields is None or subsections is None:
            raise ProfileError(f"no VMStateDescription at {address:#x} of the destination")
        old = None
        if layout.minimum_old is not None:
            old = memory.word(address + layout.minimum_old, 4)
        hooks = frozenset(hook for hook, offset in layout.hooks if memory.word(address + offset))
        return Vmsd(
            name=name,
            version=int.from_bytes(numbers[4:8], sys.byteorder, signed=True),
            minimum=int.from_bytes(numbers[8:12], sys.byteorder, signed=True),
            minimum_old=old if "load_old" in hooks else None,
            # an int's last byte on big-endian hosts; a bool's is the first everywhere
            unmigratable=numbers[0] != 0 or numbers[3] != 0,
            early_setup=numbers[1] != 0,
            hooks=hooks,
            fields=self._fields(fields, name, index) if fields else (),
            subsections=self._subsections(subsections) if subsections else (),
        )

    def _fields(self, address: int, owner: str, number: int) -> tuple[VmField, ...]:
        layout = self._layout.field
        fields: list[VmField] = []
        for index in range(_MOST_FIELDS):
            raw = self._memory.unpack(layout.fmt, address + index * layout.size)
            if raw is None:
                raise ProfileError(f"the fields of {owner!r} run out of the destination's memory")
            if raw[0] == 0:
                return tuple(fields)
            members = dict(zip(layout.members, raw, strict=True))
            fields.append(self._field(members, owner, (number, index)))
        raise ProfileError(f"the fields of {owner!r} do not end")

    def _field(self, raw: dict[str, int], owner: str, place: tuple[int, int]) -> VmField:
        memory = self._memory
        name = memory.string(raw["name"])
        if name is None:
            raise ProfileError(f"a field of {owner!r} has no name")
        info = memory.string(memory.word(raw["info"]) or 0) if raw["info"] else ""
        if raw["info"] and not info:
            raise ProfileError(f"a field of {owner!r} has a type without a name")
        flags = raw["flags"]
        if flags & ~KNOWN_FLAGS:
            raise ProfileError(f"a field of {owner!r} has unknown flags {flags:#x}")
        if info:
            self._types.setdefault(info, {}).setdefault(raw["info"], []).append(place)
        if raw.get("num_width") in _FLAG_OF_WIDTH and flags & COUNTED:
            flags = flags & ~COUNTED | _FLAG_OF_WIDTH[raw["num_width"]]
        if flags & Flag.VBUFFER and raw.get("size_width", 4) not in {0, 4}:
            info = f"{info} with a size of {raw['size_width']} bytes"  # of no type that is known
        return VmField(
            name=name,
            err_hint=memory.string(raw.get("err_hint", 0)) or "",
            offset=raw["offset"],
            size=raw["size"],
            start=raw["start"],
            num=raw["num"],
            num_offset=raw["num_offset"],
            size_offset=raw["size_offset"],
            info=info or "",
            flags=flags,
            vmsd=self.vmsd(raw["vmsd"]) if raw["vmsd"] else None,
            version=raw["version"],
            struct_version=raw["struct_version"],
            test=raw["test"],
        )

    def _subsections(self, address: int) -> tuple[int, ...]:
        indices: list[int] = []
        for number in range(_MOST_FIELDS):
            pointer = self._memory.word(address + 8 * number)
            if not pointer:
                break
            indices.append(self.vmsd(pointer))
        return tuple(indices)


def struct_offset(
    vmsds: Mapping[int, Vmsd] | list[Vmsd], root: int, wanted: str, base: int = 0, depth: int = 0
) -> int | None:
    """Return the offset at which the description named *wanted* is embedded in *root*'s object.

    Subsections are of the same object; pvscsi has its PCI device in one alone from 11.1 on.
    """
    vmsd = vmsds[root]
    if vmsd.name == wanted:
        return base
    if depth > 8:
        return None
    for item in vmsd.fields:
        embedded = item.flags & 0x8008 and not item.flags & 0x46  # struct, no pointer, no array
        if embedded and item.vmsd is not None:
            found = struct_offset(vmsds, item.vmsd, wanted, base + item.offset, depth + 1)
            if found is not None:
                return found
    for subsection in vmsd.subsections:
        found = struct_offset(vmsds, subsection, wanted, base, depth + 1)
        if found is not None:
            return found
    return None
