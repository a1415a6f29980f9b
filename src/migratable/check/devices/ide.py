"""IDE and AHCI: hw/ide/core.c, hw/ide/ahci.c."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import beyond, post_load
from migratable.check.objects import Loading
from migratable.check.points import BodyLoaded
from migratable.check.trouble import EPERM, Problem

_START, _FIS_RX, _FIS_ON, _LIST_ON = 1 << 0, 1 << 4, 1 << 14, 1 << 15
_COMMANDS = 32
_TRANSFER_ENDS = 6
#: READ/WRITE FPDMA QUEUED, NCQ NON DATA, SEND/RECEIVE FPDMA QUEUED
_NCQ = frozenset({0x60, 0x61, 0x63, 0x64, 0x65})


@post_load("ide_drive/pio_state")
def pio_state(at: BodyLoaded) -> Iterator[Problem]:
    """ide_drive_pio_post_load: what comes after a transfer is one of six functions."""
    index = at.body.number("end_transfer_fn_idx")
    if index is not None and index >= _TRANSFER_ENDS:
        yield beyond(f"what follows the disk's transfer has number {index}, the last is 5")


@post_load("ahci")
def ahci(at: BodyLoaded) -> Iterator[Problem]:
    """ahci_state_post_load, port by port.

    Not examined, because they are in the guest's memory: the command list and the FIS buffer of a
    running port (``AHCI: Failed to start ...``, refused when they cannot be mapped, for example
    behind a virtual IOMMU that is loaded later) and the scatter list of a halted NCQ command.
    """
    for number, port in enumerate(at.body.children.get("dev", ())):
        yield from _port(number, port)


def _port(number: int, port: Loading) -> Iterator[Problem]:
    command = port.number("port_regs.cmd")
    if command is not None:
        if command & _LIST_ON and not command & _START:
            yield Problem(
                rule="post-load",
                summary=f"port {number} is stopped and its DMA engine runs ({command:#x})",
                words=(("ahci-dma-running", {}),),
                errno=EPERM,
                field="port_regs.cmd",
            )
        if command & _FIS_ON and not command & _FIS_RX:
            yield Problem(
                rule="post-load",
                summary=f"port {number} takes no FIS and its engine runs ({command:#x})",
                words=(("ahci-fis-running", {}),),
                errno=EPERM,
                field="port_regs.cmd",
            )
    for slot, queued in enumerate(port.children.get("ncq_tfs", ())):
        used, halt = queued.number("used"), queued.number("halt")
        if used is None or halt is None:
            continue
        wrong = ""
        if bool(used) != bool(halt):
            wrong = "is in use and not halted" if used else "is halted and not in use"
        elif halt and queued.number("cmd") not in _NCQ:
            wrong = f"is command {queued.number('cmd'):#x}, none that can be queued"
        elif halt and queued.number("slot") != queued.number("tag"):
            wrong = f"has slot {queued.number('slot')} and tag {queued.number('tag')}"
        if wrong:
            yield beyond(f"queued command {slot} of port {number} {wrong}", errno=EPERM)
    busy = port.signed("busy_slot", 4)
    if busy is not None and busy != -1 and not 0 <= busy < _COMMANDS:
        yield beyond(f"port {number} is busy with command {busy}, the last is 31", errno=EPERM)
