"""The loader's tables that a destination walks when it loads a stream.

QEMU's loader (``migration/savevm.c: qemu_loadvm_state_main``, ``migration/vmstate.c:
vmstate_load_state``) knows nothing but a list of registered handlers (``SaveStateEntry``) and the
``VMStateDescription`` tables that they point to. These classes are those tables as data, with the
values of the running destination that the walk depends on (array counts, null pointers, fields
that must be equal). They are read from the paused destination by
:mod:`migratable.profile.memory`, stored in a profile, and replayed by :mod:`migratable.check`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from migratable.errors import ProfileError
from migratable.members import SPARSE, plain, read, read_row, rows
from migratable.printable import quoted

SCHEMA = "migratable.loader/1"

#: Hooks that run while a body is loaded.
LOAD_HOOKS = frozenset({"pre_load", "pre_load_errp", "post_load", "post_load_errp", "load_old"})


class Flag(enum.IntFlag):
    """``enum VMStateFlags`` of include/migration/vmstate.h; the same numbers in 4.1 to 11.1.

    ``ARRAY_OF_POINTER_AUTO_ALLOC`` (11.1: nvme's queues): a marker before each element says
    whether there is one, and the loader makes it; the field's size is that of the object.
    """

    SINGLE = 0x001
    POINTER = 0x002
    ARRAY = 0x004
    STRUCT = 0x008
    VARRAY_INT32 = 0x010
    BUFFER = 0x020
    ARRAY_OF_POINTER = 0x040
    VARRAY_UINT16 = 0x080
    VBUFFER = 0x100
    MULTIPLY = 0x200
    VARRAY_UINT8 = 0x400
    VARRAY_UINT32 = 0x800
    MUST_EXIST = 0x1000
    ALLOC = 0x2000
    MULTIPLY_ELEMENTS = 0x4000
    VSTRUCT = 0x8000
    ARRAY_OF_POINTER_AUTO_ALLOC = 0x10000


#: Width in bytes of the counter variable that each kind of variable array reads.
COUNTER_WIDTH: Mapping[int, int] = {
    int(Flag.VARRAY_INT32): 4,
    int(Flag.VARRAY_UINT32): 4,
    int(Flag.VARRAY_UINT16): 2,
    int(Flag.VARRAY_UINT8): 1,
}
COUNTED = sum(COUNTER_WIDTH)
"""Flags of fields whose number of elements is a variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VmField:
    """One ``VMStateField``: offsets and sizes in bytes of the destination's memory.

    :ivar vmsd: index into :attr:`LoaderTables.vmsds`, None when the field has no description.
    :ivar test: identity of the ``field_exists`` function, 0 when there is none.
    """

    name: str
    offset: int = field(default=0, metadata=SPARSE)
    size: int = field(default=0, metadata=SPARSE)
    start: int = field(default=0, metadata=SPARSE)
    num: int = field(default=0, metadata=SPARSE)
    num_offset: int = field(default=0, metadata=SPARSE)
    size_offset: int = field(default=0, metadata=SPARSE)
    info: str = field(default="", metadata=SPARSE)
    flags: int = field(default=0, metadata=SPARSE)
    vmsd: int | None = field(default=None, metadata=SPARSE)
    version: int = field(default=0, metadata=SPARSE)
    struct_version: int = field(default=0, metadata=SPARSE)
    test: int = field(default=0, metadata=SPARSE)
    err_hint: str = field(default="", metadata=SPARSE)

    @property
    def stride(self) -> int:
        """Bytes from one element to the next; 11.1 states no size of an array of pointers."""
        if not self.size and self.flags & Flag.ARRAY_OF_POINTER:
            return 8
        return self.size

    @property
    def counter(self) -> tuple[int, int] | None:
        """Offset and width of the variable that counts the elements, None for fixed counts."""
        if not self.flags & COUNTED:
            return None
        for flag, width in COUNTER_WIDTH.items():
            if self.flags & flag:
                return self.num_offset, width
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vmsd:
    """One ``VMStateDescription``; ``subsections`` are indices into :attr:`LoaderTables.vmsds`.

    :ivar minimum_old: oldest version that ``load_state_old`` takes (releases up to 6.x), or None.
    :ivar hooks: names of the hooks that the description has (``pre_load``, ``post_load`` …).
    """

    name: str
    version: int
    minimum: int
    minimum_old: int | None = None
    unmigratable: bool = False
    early_setup: bool = False
    hooks: frozenset[str] = frozenset()
    fields: tuple[VmField, ...] = ()
    subsections: tuple[int, ...] = ()

    @property
    def has_own_code(self) -> bool:
        """Whether the program's code, not the table alone, decides how a body is loaded."""
        return bool(self.hooks & LOAD_HOOKS) or any(item.test for item in self.fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """One ``SaveStateEntry``, in the order of the destination's list.

    :ivar vmsd: index of the description, None for handlers of the old style (ram, slirp …).
    :ivar opaque: address of the object, the base that field offsets count from.
    :ivar compat: bare idstr and instance that old streams may use instead, or None.
    """

    idstr: str
    instance_id: int
    alias_id: int
    version: int
    vmsd: int | None
    opaque: int
    compat: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PciMasks:
    """What ``get_pci_config_device`` compares: four masks as long as the configuration space."""

    config: bytes
    cmask: bytes
    wmask: bytes
    w1cmask: bytes

    def compared(self, size: int) -> int:
        """Bits of a configuration space of *size* bytes that are compared, as a little-endian mask.

        ``hw/pci/pci.c: get_pci_config_device``.
        """
        count = min(size, len(self.config))
        cmask, wmask, w1cmask = (
            int.from_bytes(mask[:count], "little")
            for mask in (self.cmask, self.wmask, self.w1cmask)
        )
        return cmask & ~wmask & ~w1cmask


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtioLive:
    """A virtio device as the destination has it before anything is loaded.

    :ivar host_features: what it offers; 64 bits, 128 from 10.2 on.
    :ivar queues: for each virtqueue ``(num, num_default)`` in descriptors, up to the first that is
        absent (0).
    :ivar config_len: bytes of its configuration space.
    :ivar vectors: MSI-X vectors of the device.
    :ivar vmsds: descriptions that its class points to, by name; the device's own part of the
        stream (``vdc->vmsd``) is among them.
    :ivar ccw: address of the channel device around it (virtio-ccw), 0 on another transport.
    """

    host_features: int
    queues: tuple[tuple[int, int], ...]
    config_len: int = 0
    vectors: int = 0
    vmsds: Mapping[str, int] = field(default_factory=dict)
    ccw: int = field(default=0, metadata=SPARSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCapability:
    """A capability of a pseries machine.

    :ivar name: its property without ``cap-``.
    :ivar wire: its subsection's name after ``spapr/cap/``, empty when it has none.
    :ivar default: level that the machine type and the CPU give it.
    :ivar effective: level that the destination has.
    """

    name: str
    wire: str
    default: int
    effective: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderTables:
    """Everything that the loader of one paused destination consults.

    :ivar words: values of the destination's memory that the walk reads, by (address, width in
        bytes).
    :ivar constants: Arm: numbers of the registers that each processor holds constant, by its
        instance id (``cpreg_vmstate_indexes`` has such numbers); none where they were not read.
    :ivar capabilities: of a pseries machine, in the order of QEMU's table.
    :ivar extra: descriptions reached by name only (virtio's own, device classes'), by name.
    :ivar notes: what was not found in the destination's memory.
    :ivar build_id: GNU build-id of the program, hexadecimal; empty when it has none, None when it
        was not looked for.
    :ivar digests: SHA-256 of the program's file and its modules', hexadecimal.
    """

    handlers: tuple[Handler, ...]
    vmsds: tuple[Vmsd, ...]
    words: Mapping[tuple[int, int], int] = field(default_factory=dict)
    pci: Mapping[str, PciMasks] = field(default_factory=dict)
    virtio: Mapping[str, VirtioLive] = field(default_factory=dict)
    extra: Mapping[str, int] = field(default_factory=dict)
    constants: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    capabilities: tuple[MachineCapability, ...] = ()
    notes: tuple[str, ...] = ()
    build_id: str | None = None
    digests: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data for a profile."""
        return {
            "schema": SCHEMA,
            "handlers": rows(self.handlers),
            "vmsds": plain(self.vmsds),
            "words": {f"{at:x}:{width}": value for (at, width), value in self.words.items()},
            "pci": dict(zip(self.pci, rows(self.pci.values()), strict=True)),
            "virtio": plain(self.virtio),
            "extra": dict(self.extra),
            **({"constants": plain(self.constants)} if self.constants else {}),
            **({"capabilities": rows(self.capabilities)} if self.capabilities else {}),
            "notes": list(self.notes),
            "build_id": self.build_id,
            "digests": list(self.digests),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LoaderTables:
        """Read what :meth:`to_json` wrote.

        :raise ProfileError: when *data* is not such an object.
        """
        try:
            if data["schema"] != SCHEMA:
                raise ProfileError(
                    f"loader tables: schema {quoted(data['schema'])} is not {SCHEMA!r}"
                )
            tables = cls(
                handlers=tuple(read_row(Handler, row) for row in data["handlers"]),
                vmsds=tuple(_vmsd_from_json(item) for item in data["vmsds"]),
                words={
                    (int(key.split(":")[0], 16), int(key.split(":")[1])): int(value)
                    for key, value in data["words"].items()
                },
                pci={name: read_row(PciMasks, masks) for name, masks in data["pci"].items()},
                virtio={name: read(VirtioLive, item) for name, item in data["virtio"].items()},
                extra={name: int(index) for name, index in data["extra"].items()},
                constants={
                    int(cpu): tuple(map(int, ids)) for cpu, ids in data.get("constants", {}).items()
                },
                capabilities=tuple(
                    read_row(MachineCapability, row) for row in data.get("capabilities", ())
                ),
                notes=tuple(map(str, data["notes"])),
                build_id=None if data.get("build_id") is None else str(data["build_id"]),
                digests=tuple(map(str, data.get("digests", ()))),
            )
        except (ArithmeticError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise ProfileError(f"loader tables are malformed: {error!r}") from error
        tables._validate()
        return tables

    def _validate(self) -> None:
        """Refuse references out of range, so that a replay never has to."""
        count = len(self.vmsds)
        references = [
            *(h.vmsd for h in self.handlers),
            *(f.vmsd for v in self.vmsds for f in v.fields),
            *(s for v in self.vmsds for s in v.subsections),
            *self.extra.values(),
            *(i for v in self.virtio.values() for i in v.vmsds.values()),
        ]
        if any(index is not None and not 0 <= index < count for index in references):
            raise ProfileError("loader tables are malformed: a description's index is out of range")


_TEXTS = frozenset({"name", "info", "err_hint"})


def _vmsd_from_json(item: Mapping[str, Any]) -> Vmsd:
    for raw in item["fields"]:
        for key, value in raw.items():
            expected = str if key in _TEXTS else int
            if type(value) is not expected and (key, value) != ("vmsd", None):
                raise TypeError(f"{key}: {value!r}")
    old = item["minimum_old"]
    return Vmsd(
        name=str(item["name"]),
        version=int(item["version"]),
        minimum=int(item["minimum"]),
        minimum_old=None if old is None else int(old),
        unmigratable=bool(item["unmigratable"]),
        early_setup=bool(item["early_setup"]),
        hooks=frozenset(map(str, item["hooks"])),
        fields=tuple([VmField(**raw) for raw in item["fields"]]),
        subsections=tuple(map(int, item["subsections"])),
    )
