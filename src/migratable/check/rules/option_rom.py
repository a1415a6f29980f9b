"""A refused RAM block is a device's option ROM.

## What it checks

Blocks whose name ends in `.rom` and whose sizes differ. The refusal itself is
{doc}`ram-block-size`; this says where the size comes from.

## Why QEMU refuses

A ROM's block is as large as its file, rounded up to a power of two. Distributions ship iPXE ROMs
of different sizes (256 KiB, 512 KiB), so equal command lines give blocks of different sizes.

## How to fix it

`romsize=` on the destination's device (5.2 and later) gives the block the source's size when the
file is smaller; `romfile=` names another file.

## Source

`hw/pci/pci.c: pci_add_option_rom`; 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import RamBlockRead
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.stream.ram import RamBlock
from migratable.verdict import Severity


def check(event: RamBlockRead) -> Iterator[Problem]:
    """A ROM of another size is explained."""
    if event.local is None or not event.block.id.endswith(".rom"):
        return
    if event.block.used_length != event.local[0]:
        yield Problem(
            rule=RULE.id,
            refuses=False,
            severity=Severity.INFO,
            summary=f"the ROM file behind {event.block.id!r} is not the source's",
            explanation="The block is as large as the file, rounded up to a power of two.",
        )


_BLOCK = RamBlock(id="0000:00:02.0/virtio-net-pci.rom", used_length=0x40000)
RULE = Rule(
    id="option-rom",
    severity=Severity.INFO,
    side=Fault.DESTINATION,
    now=(
        "{loading: |Use the same option ROM file {moving: on both sides}, or set romsize= (or "
        'romfile="" for no ROM) on the device.}'
    ),
    prevent="Set romsize= in the VM's definition, or keep the ROM packages (ipxe-qemu) of all "
    "hosts at the same size class.",
    verify="check",
    events=(RamBlockRead,),
    check=check,
    examples=(
        refuses(RamBlockRead(release=(10, 0), block=_BLOCK, local=(0x80000, 0x80000)), "ROM file"),
        loads(RamBlockRead(release=(10, 0), block=_BLOCK, local=(0x40000, 0x40000))),
    ),
)
