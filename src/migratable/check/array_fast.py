"""Plain numbers, and long arrays of structures of plain numbers, are read in one step.

QEMU's loop reads each element alone; the bytes and the values are the same.
"""

from __future__ import annotations

from migratable.check.loader import Loader
from migratable.check.qemu_file import StreamEndError
from migratable.check.state import LoadedState
from migratable.check.vmdesc_cursor import SIZED
from migratable.check.vmstate_flags import (
    VMS_ARRAY,
    VMS_ARRAY_OF_POINTER,
    VMS_POINTER,
    VMS_STRUCT,
    VMS_VBUFFER,
    VMS_VSTRUCT,
)
from migratable.facts.field_types import PLAIN
from migratable.profile.tables import LOAD_HOOKS, VmField

_SHORT = 64
"""Arrays of structures up to this length are loaded element by element."""


def load_array_fast(loader: Loader, body: LoadedState, field: VmField, n_elems: int) -> bool:
    """Read plain numbers, or many structures of them; False if each must be loaded alone."""
    if field.flags & VMS_ARRAY_OF_POINTER:
        return False
    if not field.flags & (VMS_STRUCT | VMS_VSTRUCT):
        width = PLAIN.get(field.info)
        if width is None:
            return False
        try:
            _numbers(loader, body, field, width, n_elems)
        except StreamEndError:
            raise loader.file_error(body, field) from None
        return True
    if n_elems <= _SHORT or not field.flags & VMS_STRUCT:
        return False
    width = plain_width(loader, field.vmsd)
    if width is None:
        return False
    try:
        body.values[field.name] = loader.f.get_stored(width * n_elems)
    except StreamEndError:
        raise loader.file_error(body, field) from None
    return True


def _numbers(loader: Loader, body: LoadedState, field: VmField, width: int, n_elems: int) -> None:
    if n_elems == 1:
        value = int.from_bytes(loader.f.get_stored(width), "big")
        body.values[field.name] = value
        if not field.flags & VMS_POINTER:
            loader.memory.load(body.opaque + field.offset, width, value)
    elif n_elems > 1:
        body.values[field.name] = loader.f.get_stored(width * n_elems)


def plain_width(loader: Loader, index: int | None) -> int | None:
    """Bytes of a body of plain numbers only; None if it must be loaded field by field."""
    vmsd = None if index is None else loader.tables.vmsds[index]
    if vmsd is None or vmsd.subsections or vmsd.hooks & LOAD_HOOKS:
        return None
    size = 0
    for field in vmsd.fields:
        plain = PLAIN.get(field.info)
        if field.info in SIZED and not field.flags & VMS_VBUFFER:
            plain = field.size
        if field.test or plain is None or field.version > vmsd.version:
            return None
        if field.counter is not None or field.flags & (VMS_POINTER | VMS_ARRAY_OF_POINTER):
            return None
        size += plain * (field.num if field.flags & VMS_ARRAY else 1)
    return size
