"""What the ``get`` functions of field types read and refuse (``migration/vmstate-types.c``).

Types are known by the name that ``VMStateInfo`` has. Plain numbers are in
:data:`migratable.check.vmstate.PLAIN`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migratable.check import devices, events
from migratable.check.problem import Problem, RefusedError, UnexaminedError
from migratable.check.qemu_file import StreamEndError
from migratable.check.state import LoadedState
from migratable.check.vmstate import PLAIN, Loader
from migratable.profile.tables import VmField
from migratable.stream.vmdesc import VmsdBody

#: Types that are compared with what the destination holds: width in bytes.
COMPARED: dict[str, int] = {
    "int32 equal": 4,
    "uint32 equal": 4,
    "int64 equal": 8,
    "uint64 equal": 8,
    "uint8 equal": 1,
    "uint16 equal": 2,
    "int32 le": 4,
}

#: Types of fixed size that no loader looks into.
FIXED: dict[str, int] = {
    "avr": 16,
    "cpu/altivec/vscr": 4,
    "cpu/fpscr": 4,
    "cpu/fpsr": 4,
    "cpu/fpcr": 4,
    "fpscr": 4,  # target/arm/machine.c: get_fpscr; 0 leaves fpcr and fpsr to a subsection
    "fpcr": 8,
    "fpsr": 8,
    "pstate64": 8,
    "cpsr": 4,
    "powered_off": 1,
    "css_devid": 4,
    "uint16_from_uint8": 1,
    "int32_as_uint16": 2,  # hw/rtc/twl92230.c
}

#: Types whose contents are not followed: they are skipped by the size that the stream states.
SKIPPED = frozenset(
    {
        "usb-redir-parser",
        "usb-redir-bufpq",
        "usb-redir-packet-id-q",
        "virtio-net vhost-user",
        "tlb_entry",  # target/mips, target/hppa: registers of the processor
        "tlb entry",
        "psw",
    }
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One element that is being read.

    :ivar address: of the element in the destination.
    :ivar size: bytes of it there (bits for a bitmap).
    :ivar descriptions: what the stream says of the bodies inside it.
    """

    loader: Loader
    body: LoadedState
    item: VmField
    address: int
    size: int
    descriptions: tuple[VmsdBody, ...]


def get(at: Reading) -> None:
    """Read one element as the destination does.

    :raise RefusedError: where QEMU's function returns an error.
    :raise UnexaminedError: for types that are not known.
    """
    loader, body, item = at.loader, at.body, at.item
    wire = loader.wire
    name = item.info
    if name in PLAIN:
        value = wire.unsigned(PLAIN[name])
        body.values.setdefault(item.name, value)
        loader.memory.set(at.address, PLAIN[name], value)
    elif name in COMPARED:
        _compared(loader, body, item, at.address)
    elif name == "buffer":
        body.values[item.name] = wire.view(max(at.size, 0))
    elif name == "unused_buffer":
        wire.skip(max(at.size, 0))
    elif name == "bitmap":
        body.values[item.name] = wire.view(8 * ((max(at.size, 0) + 63) // 64))
    elif name in FIXED:
        body.values[item.name] = wire.view(FIXED[name])
    else:
        special = _SPECIAL.get(name) or devices.reader(name)
        if special is not None:
            special(at)
        elif name in SKIPPED:
            _skip(loader, body, item)
        else:
            raise UnexaminedError(f"{body.vmsd.name}:{item.name} has the unknown type {name!r}")


def _compared(loader: Loader, body: LoadedState, item: VmField, element: int) -> None:
    width = COMPARED[item.info]
    value = loader.wire.unsigned(width)
    local = loader.memory.get(element, width)
    body.values[item.name] = value
    loader.show(
        events.ValueRead(
            release=loader.release,
            vmsd=body.vmsd,
            field=item,
            value=value,
            local=local,
            width=width,
        )
    )
    if local is None and not loader.own:
        raise UnexaminedError(f"the destination's own {body.vmsd.name}:{item.name} is not known")
    if item.info == "int32 le":
        loader.memory.set(element, width, value)


def _skip(loader: Loader, body: LoadedState, item: VmField) -> None:
    """Skip what is not followed, by the stream's own word for its size."""
    size = loader.stated_size(body, item)
    if size is None:
        raise UnexaminedError(f"{body.vmsd.name}:{item.name} has no stated size")
    loader.wire.skip(size)
    if not loader.own and size:
        loader.unchecked.append(f"{loader.handler.idstr}: the contents of {item.name}")


def _pci_config(at: Reading) -> None:
    loader, body, item = at.loader, at.body, at.item
    config = bytes(loader.wire.view(at.size))
    body.values[item.name] = memoryview(config)
    masks = loader.tables.pci.get(loader.handler.idstr)
    if loader.own:
        return
    if masks is None:
        raise UnexaminedError(f"{loader.handler.idstr}: its configuration masks are not known")
    loader.show(
        events.PciConfigRead(
            release=loader.release, idstr=loader.handler.idstr, config=config, masks=masks
        )
    )


def _pci_irq_state(at: Reading) -> None:
    loader = at.loader
    for pin in range(4):
        state = loader.wire.unsigned(4)
        if state not in {0, 1}:
            raise RefusedError(
                Problem(
                    rule="field-validation",
                    summary=f"interrupt pin {pin} has level {state}",
                    words=(("pci-irq-state", {"state": state - (state >> 31 << 32)}),),
                ),
                loader.release,
            )


def _msix(at: Reading) -> None:
    loader = at.loader
    entries = msix_entries(loader)
    if entries is not None:
        loader.wire.skip(16 * entries + (entries + 7) // 8)


def msix_entries(loader: Loader) -> int | None:
    """Return the size of the destination device's MSI-X table, None without MSI-X."""
    from migratable.stream.virtio import (  # noqa: PLC0415 -- PCI only
        PCI_CAP_MSIX,
        pci_capabilities,
    )

    masks = loader.tables.pci.get(loader.handler.idstr)
    if masks is None:
        raise UnexaminedError(f"{loader.handler.idstr}: its MSI-X table is not known")
    for capability, at in pci_capabilities(masks.config):
        if capability == PCI_CAP_MSIX:
            return (int.from_bytes(masks.config[at + 2 : at + 4], "little") & 0x7FF) + 1
    return None


def _shpc(at: Reading) -> None:
    loader, body, item = at.loader, at.body, at.item
    # hw/pci/shpc.h: SHPC_SIZEOF = 0x24 + 4 * slots; a bridge has 31 (SHPC_MAX_SLOTS), and the
    # buffer is rounded up to a power of two for its BAR only.
    loader.wire.skip(stated(loader, body, item, 0x24 + 4 * 31))


def stated(loader: Loader, body: LoadedState, item: VmField, otherwise: int) -> int:
    """Return the size that the destination's own stream states for a field."""
    size = loader.own_size(body, item)
    return otherwise if size is None else size


def _tmp(at: Reading) -> None:
    loader, body, item = at.loader, at.body, at.item
    if item.vmsd is None:
        raise UnexaminedError(f"{body.vmsd.name}:{item.name} has no description")
    address = loader.memory.allocate(item.size)
    loader.memory.set(address, 8, body.opaque)
    own = body.own.children.get(item.name) if body.own is not None else None
    try:
        child = loader.state(
            item.vmsd,
            address,
            item.version,
            body,
            at.descriptions[0] if at.descriptions else None,
            own[0] if own else None,
        )
    except RefusedError as refused:
        if loader.release < (11, 0):
            refused.report()
        raise
    body.children.setdefault(item.name, []).append(child)


def _list(at: Reading) -> None:
    """``get_qtailq`` and ``get_qlist``."""
    loader, body, item = at.loader, at.body, at.item
    if item.vmsd is None:
        raise UnexaminedError(f"{body.vmsd.name}:{item.name} has no description")
    vmsd = loader.tables.vmsds[item.vmsd]
    if item.version > vmsd.version:
        raise loader.refuse(
            "version-too-new", f"{vmsd.name} too new", ("list-too-new", {"vmsd": vmsd.name})
        )
    if item.version < vmsd.minimum:
        raise loader.refuse(
            "version-too-old", f"{vmsd.name} too old", ("list-too-old", {"vmsd": vmsd.name})
        )
    number = 0
    while loader.wire.unsigned(1):
        address = loader.memory.allocate(item.size)
        try:
            child = loader.state(
                item.vmsd,
                address,
                item.version,
                body,
                at.descriptions[number] if number < len(at.descriptions) else None,
            )
        except RefusedError as refused:
            words: dict[str, str | int] = {
                "field": item.name,
                "vmsd": vmsd.name,
                "ret": -refused.errno,
            }
            if item.info == "qlist":
                refused.old(("list-element", words))
            refused.report()
            raise
        body.children.setdefault(item.name, []).append(child)
        number += 1


def _gtree(at: Reading) -> None:
    loader, body, item = at.loader, at.body, at.item
    start = loader.wire.peek(5)
    if len(start) < 5:
        raise StreamEndError
    if int.from_bytes(start[:4], "big") == 0:
        loader.wire.skip(4)
        if loader.wire.unsigned(1):
            raise loader.refuse(
                "layout",
                f"the tree {item.name} has more elements than it says",
                ("gtree-inconsistent", {"field": item.name}),
            )
        return
    _skip(loader, body, item)  # the key's table is not reachable


def _capability(at: Reading) -> None:
    loader = at.loader
    loader.wire.skip(loader.wire.unsigned(1))


def _usb_redir_parser(at: Reading) -> None:
    """hw/usb/redirect.c: usbredir_get_parser; what is inside is the library's own."""
    length = at.loader.wire.unsigned(4)
    if length:
        at.loader.unchecked.append("usb-redir: whether its library takes the parser's state")
        at.loader.wire.skip(length)


def _usb_redir_packets(at: Reading) -> None:
    """hw/usb/redirect.c: usbredir_get_bufpq."""
    wire = at.loader.wire
    for _ in range(wire.unsigned(4)):
        length = wire.unsigned(4)
        wire.skip(4 + length)


def _usb_redir_ids(at: Reading) -> None:
    """hw/usb/redirect.c: usbredir_get_packet_id_q."""
    wire = at.loader.wire
    wire.skip(8 * wire.unsigned(4))


def _scsi_requests(at: Reading) -> None:
    loader, body, item = at.loader, at.body, at.item
    head = loader.wire.peek(1)
    if len(head) == 1 and (head[0] == 0 or head[0] >= 0x80):
        loader.wire.skip(1)
    else:
        _skip(loader, body, item)


def _virtio(at: Reading) -> None:
    loader, body = at.loader, at.body
    from migratable.check.virtio import load  # noqa: PLC0415 -- it needs this module

    load(loader, body)


def _extra_state(at: Reading) -> None:
    """hw/virtio/virtio-pci.c: virtio_pci_load_extra_state, and virtio-mmio.c's."""
    loader, body = at.loader, at.body
    mmio = loader.handler.idstr.startswith("virtio-mmio@")
    name = "virtio_mmio" if mmio else "virtio_pci"
    index = loader.tables.extra.get(name)
    if index is None:
        raise UnexaminedError(f"the destination's description of {name} was not found")
    try:
        loader.state(index, loader.memory.allocate(1 << 16), 1, body, None)
    except RefusedError as refused:
        refused.report()
        raise


def _nothing(at: Reading) -> None:
    """``fd``: passed beside the stream, no bytes in it."""


Special = Callable[[Reading], None]

_SPECIAL: dict[str, Special] = {
    "pci config": _pci_config,
    "pci irq state": _pci_irq_state,
    "msix state": _msix,
    "shpc": _shpc,
    "tmp": _tmp,
    "qtailq": _list,
    "qlist": _list,
    "gtree": _gtree,
    "capability": _capability,
    "usb-redir-parser": _usb_redir_parser,
    "usb-redir-bufpq": _usb_redir_packets,
    "usb-redir-packet-id-q": _usb_redir_ids,
    "scsi-requests": _scsi_requests,
    "virtio": _virtio,
    "virtqueue_extra_state": _extra_state,
    "fd": _nothing,
}
