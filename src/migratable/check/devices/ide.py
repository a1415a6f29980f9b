"""IDE and AHCI: hw/ide/core.c, hw/ide/ahci.c."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EPERM

from migratable.check.devices import beyond, post_load
from migratable.check.devices.pc_memory import of_profile
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem
from migratable.check.state import LoadedState

_START, _FIS_RX, _FIS_ON, _LIST_ON = 1 << 0, 1 << 4, 1 << 14, 1 << 15
_COMMANDS = 32
_BOUNCE_BYTES = 4096
_TRANSFER_ENDS = 6
#: READ/WRITE FPDMA QUEUED, NCQ NON DATA, SEND/RECEIVE FPDMA QUEUED
_NCQ = frozenset({0x60, 0x61, 0x63, 0x64, 0x65})


@post_load("ide_drive/pio_state")
def pio_state(event: BodyLoaded) -> Iterator[Problem]:
    """ide_drive_pio_post_load: what comes after a transfer is one of six functions."""
    index = event.body.number("end_transfer_fn_idx")
    if index is not None and index >= _TRANSFER_ENDS:
        yield beyond(f"what follows the disk's transfer has number {index}, the last is 5")


@post_load("ahci")
def ahci(event: BodyLoaded) -> Iterator[Problem]:
    """ahci_state_post_load, port by port.

    Not examined, because they are in the guest's memory: the command list and the FIS buffer of a
    running port behind a virtual IOMMU that is loaded later (``AHCI: Failed to start ...``), and
    the scatter list of a halted NCQ command.
    """
    bounce = _Bounce(event)
    for number, port in enumerate(event.body.children.get("dev", ())):
        yield from _port(number, port, bounce)


class _Bounce:
    """Mapping what is no memory: ``address_space_map`` has one bounce buffer, from 9.2 on 4 KiB."""

    def __init__(self, event: BodyLoaded) -> None:
        # Behind a virtual IOMMU the addresses are not guest-physical; its tables are in memory.
        self._memory = None if _translated(event) else of_profile(event.profile)
        self._several = event.release >= (9, 2)
        self._left = _BOUNCE_BYTES

    def maps(self, address: int, size: int) -> bool:
        """Whether *size* bytes at a guest address can be mapped (``hw/ide/ahci.c: map_page``)."""
        if self._memory is None or not self._memory.lacks(address):
            return True
        fits = size <= self._left
        self._left = self._left - size if self._several and fits else 0
        return fits


def _translated(event: BodyLoaded) -> bool:
    loader = event.profile.loader
    handlers = () if loader is None else loader.handlers
    return any("iommu" in one.idstr.lower() for one in handlers)


def _engines(number: int, port: LoadedState, command: int, bounce: _Bounce) -> Iterator[Problem]:
    """ahci_cond_start_engines: the list of commands and the buffer of answers are mapped."""
    for bit, field, size, message in (
        (_START, "lst_addr", 1024, "ahci-dma"),
        (_FIS_RX, "fis_addr", 256, "ahci-fis"),
    ):
        low, high = port.number(f"port_regs.{field}"), port.number(f"port_regs.{field}_hi")
        if not command & bit or low is None or high is None:
            continue
        address = high << 32 | low
        if not bounce.maps(address, size):
            yield Problem(
                rule="post-load",
                summary=f"port {number} uses memory at {address:#x}, where the destination has "
                "none",
                explanation="The guest's memory is at other addresses (max-ram-below-4g).",
                words=((message, {}),),
                errno=EPERM,
                field=f"port_regs.{field}",
            )


def _port(number: int, port: LoadedState, bounce: _Bounce) -> Iterator[Problem]:
    command = port.number("port_regs.cmd")
    if command is not None:
        if command & _LIST_ON and not command & _START:
            yield Problem(
                rule="post-load",
                summary=f"port {number} is stopped but its DMA engine runs ({command:#x})",
                words=(("ahci-dma-running", {}),),
                errno=EPERM,
                field="port_regs.cmd",
            )
        if command & _FIS_ON and not command & _FIS_RX:
            yield Problem(
                rule="post-load",
                summary=f"port {number}: FIS receive disabled, engine running ({command:#x})",
                words=(("ahci-fis-running", {}),),
                errno=EPERM,
                field="port_regs.cmd",
            )
        yield from _engines(number, port, command, bounce)
    for slot, queued in enumerate(port.children.get("ncq_tfs", ())):
        used, halt = queued.number("used"), queued.number("halt")
        if used is None or halt is None:
            continue
        wrong = ""
        if bool(used) != bool(halt):
            wrong = "is in use and not halted" if used else "is halted and not in use"
        elif halt and queued.number("cmd") not in _NCQ:
            wrong = f"is command {queued.number('cmd'):#x}, which cannot be queued"
        elif halt and queued.number("slot") != queued.number("tag"):
            wrong = f"has slot {queued.number('slot')} and tag {queued.number('tag')}"
        if wrong:
            yield beyond(f"queued command {slot} of port {number} {wrong}", errno=EPERM)
    busy = port.signed("busy_slot", 4)
    if busy is not None and busy != -1 and not 0 <= busy < _COMMANDS:
        yield beyond(f"port {number} is busy with command {busy}, the last is 31", errno=EPERM)
