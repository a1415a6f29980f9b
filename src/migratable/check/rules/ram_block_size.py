"""A RAM block has another size on the destination.

## What it checks

The used length of every block in the stream against the destination's block of that name. Blocks
that may grow (ACPI tables and other firmware tables) are resized, up to their maximum.

## Why QEMU refuses

RAM size is guest-visible; only firmware tables are resizable.

## How to fix it

* main memory (`pc.ram`, `ppc_spapr.ram`): the source's `-m`;
* an option ROM (`.../virtio-net-pci.rom`): the same ROM file, or `romsize=` on the device
  (5.2 and later), or `romfile=` empty on both sides;
* video memory: `vgamem_mb=` and the like;
* firmware (`pc.bios`, `pc.rom`): the same firmware file.

## Source

`migration/ram.c: parse_ramblock`, `system/physmem.c: qemu_ram_resize`; up to 5.1 the line says
`Length mismatch`.
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
    """The sizes are equal, or the destination's block may be resized to what came."""
    if event.local is None:
        return
    used, maximum = event.local
    # physmem.c: the length is aligned to target and host pages before it is compared.
    wanted = (event.block.used_length + event.page_size - 1) // event.page_size * event.page_size
    if used in {event.block.used_length, wanted}:
        return
    name = event.block.id
    resizable = maximum > used or name.startswith("/rom@etc/")
    summary = f"RAM block {name!r} has {wanted} bytes in the stream, {used} on the destination"
    facts = BlockFacts(block=name, size=wanted)
    if not resizable:
        yield Problem(
            rule=RULE.id,
            summary=summary,
            words=(("ram-block-size", {"block": name, "stream": wanted, "local": used}),),
            facts=facts,
        )
    elif wanted > maximum:
        yield Problem(
            rule=RULE.id,
            summary=f"{summary}, at most {maximum}",
            words=(("ram-block-too-large", {"block": name, "stream": wanted, "maximum": maximum}),),
            facts=facts,
        )


_BLOCK = RamBlock(id="pc.ram", used_length=4 << 30)
_TABLES = RamBlock(id="/rom@etc/acpi/tables", used_length=0x20000)
RULE = Rule(
    id="ram-block-size",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Make the block the same size on {the destination}: -m for main memory; romfile= or "
        "romsize= for an option ROM; the same firmware file for a firmware block."
    ),
    prevent=(
        "{moving: Use one definition of the VM for both sides, and the same versions of option ROM "
        "and firmware files on all hosts (or set romsize= for each device).}"
    ),
    verify="check",
    events=(RamBlockRead,),
    check=check,
    examples=(
        refuses(RamBlockRead(release=(10, 0), block=_BLOCK, local=(2 << 30, 2 << 30)), "pc.ram"),
        loads(RamBlockRead(release=(10, 0), block=_TABLES, local=(0x10000, 0x200000))),
    ),
)
