"""The ``get`` functions of field types: bytes that they read, values that they refuse.

Types are known by the name that ``VMStateInfo`` has. Those of devices are in
:mod:`migratable.check.devices`.
"""

from __future__ import annotations

from collections.abc import Callable

from migratable.check import devices, events, stderr
from migratable.check.loader import Loader, Reading
from migratable.check.problem import RefusedError, UnexaminedError
from migratable.check.state import LoadedState
from migratable.facts.field_types import COMPARED, FIXED, PLAIN, SKIPPED, TREE_KEYS, WIDENED
from migratable.profile.tables import VmField, Vmsd


def get(reading: Reading) -> None:
    """Read one element as the destination does.

    :raise RefusedError: where QEMU's function returns an error.
    :raise UnexaminedError: for types that are not known.
    """
    loader, body, field = reading.loader, reading.body, reading.field
    f = loader.f
    name = field.info
    if name in PLAIN:
        value = int.from_bytes(f.get_stored(PLAIN[name]), "big")
        if field.name not in body.values:
            body.values[field.name] = value
        loader.memory.load(reading.address, PLAIN[name], value)
    elif name in COMPARED:
        get_int32_equal(loader, body, field, reading.address)
    elif name == "buffer":
        body.values[field.name] = f.get_stored(max(reading.size, 0))
    elif name == "unused_buffer":
        f.skip(max(reading.size, 0))
    elif name == "bitmap":
        body.values[field.name] = f.get_stored(8 * ((max(reading.size, 0) + 63) // 64))
    elif name in FIXED:
        body.values[field.name] = f.get_stored(FIXED[name])
    else:
        special = _SPECIAL.get(name) or devices.reader(name)
        if special is not None:
            special(reading)
        elif name in SKIPPED:
            skip_stated(reading)
        else:
            raise UnexaminedError(f"{body.vmsd.name}:{field.name} has the unknown type {name!r}")


def get_int32_equal(loader: Loader, body: LoadedState, field: VmField, element: int) -> None:
    """``get_int32_equal``, ``get_uint32_equal`` and the like, and ``get_int32_le``."""
    width = COMPARED[field.info]
    value = loader.f.get_be(width)
    local = loader.memory.get(element, width)
    body.values[field.name] = value
    loader.ask(
        events.ValueRead(
            release=loader.release,
            vmsd=body.vmsd,
            field=field,
            value=value,
            local=local,
            width=width,
        )
    )
    if local is None:
        loader.unknown(f"the destination's own {body.vmsd.name}:{field.name} is not known")
    if field.info == "int32 le":
        loader.memory.set(element, width, value)


def skip_stated(reading: Reading) -> None:
    """Skip what is not followed, by the stream's own word for its size.

    :raise UnexaminedError: when the stream does not state it.
    """
    loader, field = reading.loader, reading.field
    size = loader.stated_size()
    if size is None:
        raise UnexaminedError(f"{reading.body.vmsd.name}:{field.name} has no stated size")
    loader.f.skip(size)
    if size:
        loader.not_examined(f"{loader.handler.idstr}: the contents of {field.name}")


def get_tmp(reading: Reading) -> None:
    """``get_tmp``: a body that is loaded into an object of its own, beside the device's."""
    loader, body, field = reading.loader, reading.body, reading.field
    if field.vmsd is None:
        raise UnexaminedError(f"{body.vmsd.name}:{field.name} has no description")
    address = loader.memory.allocate(field.size)
    loader.memory.set(address, 8, body.opaque)
    own = body.own.children.get(field.name) if body.own is not None else None
    try:
        child = loader.vmstate_load_state(
            field.vmsd,
            address,
            field.version,
            body,
            reading.descriptions[0] if reading.descriptions else None,
            own[0] if own else None,
        )
    except RefusedError as refused:
        if stderr.reports_body(loader.release):
            refused.report()
        raise
    body.children.setdefault(field.name, []).append(child)


def get_qtailq(reading: Reading) -> None:
    """``get_qtailq``: a byte that is not 0 before each element, 0 behind the last."""
    _get_list(reading, None)


def get_qlist(reading: Reading) -> None:
    """``get_qlist``: the same on the wire."""
    _get_list(reading, "list-element")


def _get_list(reading: Reading, message: str | None) -> None:
    loader, body, field = reading.loader, reading.body, reading.field
    if field.vmsd is None:
        raise UnexaminedError(f"{body.vmsd.name}:{field.name} has no description")
    vmsd = loader.tables.vmsds[field.vmsd]
    _version(reading, vmsd)
    number = 0
    while loader.f.get_be(1):
        _element(reading, vmsd, number, message)
        number += 1


def _version(reading: Reading, vmsd: Vmsd) -> None:
    """The version that the table gives its elements, against those that they have."""
    loader, version = reading.loader, reading.field.version
    if version > vmsd.version:
        raise loader.refuse(
            "version-too-new", f"{vmsd.name} too new", ("list-too-new", {"vmsd": vmsd.name})
        )
    if version < vmsd.minimum:
        raise loader.refuse(
            "version-too-old", f"{vmsd.name} too old", ("list-too-old", {"vmsd": vmsd.name})
        )


def _element(reading: Reading, vmsd: Vmsd, number: int, message: str | None) -> None:
    """Load the body of an element that the loader allocates.

    :param number: of its description in the stream.
    :param message: what releases up to 10.1 say of one that is refused.
    """
    loader, body, field = reading.loader, reading.body, reading.field
    assert field.vmsd is not None
    try:
        child = loader.vmstate_load_state(
            field.vmsd,
            loader.memory.allocate(field.size),
            field.version,
            body,
            reading.descriptions[number] if number < len(reading.descriptions) else None,
        )
    except RefusedError as refused:
        if message is not None:
            words: dict[str, str | int] = {"field": field.name, "vmsd": vmsd.name}
            refused.old((message, {**words, "ret": -refused.errno}))
        if stderr.reports_body(loader.release):
            refused.report()
        raise
    body.children.setdefault(field.name, []).append(child)


_DIRECT_KEY = 8


def get_gtree(reading: Reading) -> None:
    """``get_gtree``."""
    loader, body, field = reading.loader, reading.body, reading.field
    if field.vmsd is None:
        raise UnexaminedError(f"{body.vmsd.name}:{field.name} has no description")
    vmsd = loader.tables.vmsds[field.vmsd]
    _version(reading, vmsd)
    key = TREE_KEYS.get((body.vmsd.name, field.name)) if field.start else _DIRECT_KEY
    nnodes, count = int.from_bytes(loader.f.get_buffer(4), "big", signed=True), 0
    while loader.f.get_be(1):
        count += 1
        if count > nnodes:
            break
        if key is None:
            raise UnexaminedError(f"the keys of {body.vmsd.name}:{field.name}")
        loader.f.skip(key)
        # keys that have a description take turns with the values
        _element(reading, vmsd, 2 * count - 1 if field.start else count - 1, "gtree-element")
    if count != nnodes:
        raise loader.refuse(
            "layout",
            f"the tree {field.name} announces {nnodes} elements and has {count}",
            ("gtree-inconsistent", {"field": field.name}),
        )


def get_capability(reading: Reading) -> None:
    """``migration/savevm.c: get_capability``: its name."""
    loader = reading.loader
    loader.f.skip(loader.f.get_be(1))


def get_fd(_reading: Reading) -> None:
    """``get_fd``: passed beside the stream, no bytes in it."""


def get_widened(reading: Reading) -> None:
    """``get_uint16_from_uint8``, ``get_int32_as_uint16``."""
    wire, memory = WIDENED[reading.field.info]
    value = int.from_bytes(reading.loader.f.get_stored(wire), "big")
    reading.body.values[reading.field.name] = value
    reading.loader.memory.load(reading.address, memory, value)


Special = Callable[[Reading], None]

_SPECIAL: dict[str, Special] = {
    "tmp": get_tmp,
    "qtailq": get_qtailq,
    "qlist": get_qlist,
    "gtree": get_gtree,
    "capability": get_capability,
    "fd": get_fd,
    **dict.fromkeys(WIDENED, get_widened),
}
