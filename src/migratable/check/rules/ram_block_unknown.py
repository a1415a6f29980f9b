"""The stream has a RAM block that the destination does not have.

## What it checks

Every name in the stream's RAM block list against the destination's blocks. Main memory is called
by its machine's default (`pc.ram`, `ppc_spapr.ram`) or by its memory backend's id; a device's
memory by the device's address (`0000:00:02.0/vga.vram`).

## Why QEMU refuses

There is no memory to load the pages into.

## How to fix it

Give the destination the device or memory backend that owns the block, at the same address or with
the same id. `-m` alone on one side and `-machine memory-backend=ID` on the other differ in the
name only: use the same form.

## Source

`migration/ram.c: parse_ramblocks` (`ram_load_precopy` up to 8.1); 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import RamBlockRead
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.problem_facts import BlockFacts
from migratable.stream.ram import RamBlock
from migratable.verdict import Severity


def check(event: RamBlockRead) -> Iterator[Problem]:
    """There is a block of that name."""
    if event.local is None:
        yield Problem(
            rule=RULE.id,
            summary=f"the destination has no RAM block {event.block.id!r} "
            f"({event.block.used_length} bytes in the stream)",
            words=(("ram-block-unknown", {"block": event.block.id}),),
            facts=BlockFacts(block=event.block.id, size=event.block.used_length),
        )


_BLOCK = RamBlock(id="0000:00:02.0/vga.vram", used_length=16 << 20)
RULE = Rule(
    id="ram-block-unknown",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Give {moving: the destination|the guest} the device or memory backend that owns the "
        "block, at the same address and with the same id."
    ),
    prevent=(
        "{moving: Use one definition of the VM for both sides, with explicit PCI addresses and "
        "memory backend ids.}"
    ),
    verify="check",
    events=(RamBlockRead,),
    check=check,
    examples=(
        refuses(RamBlockRead(release=(10, 0), block=_BLOCK, local=None), "vga.vram"),
        loads(RamBlockRead(release=(10, 0), block=_BLOCK, local=(16 << 20, 16 << 20))),
    ),
)
