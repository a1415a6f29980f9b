"""A RAM block's backing has pages of another size (postcopy).

## What it checks

The page size that a source with the capability `postcopy-ram` sends for blocks on huge pages,
against the destination's backing of that block; before that the sizes of all pages behind its
memory, added up, which the source sends with its advice. Where the destination's memory is in files
(`-mem-path`, `memory-backend-file`, `hugetlb=on`) they are not known, and the verdict is unknown.

## Why QEMU refuses

In postcopy whole host pages are fetched; both sides must agree on what one is.

## How to fix it

Back the guest's memory alike on both hosts, or migrate without postcopy.

## Source

`migration/ram.c: parse_ramblock`, `migration/savevm.c: loadvm_postcopy_handle_advise`; 4.1 to 11.1.
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
    """A page size that came is the destination's."""
    sent, local = event.block.page_size, event.local_page_size
    if sent is not None and local is not None and sent != local:
        yield Problem(
            rule=RULE.id,
            summary=f"RAM block {event.block.id!r} has pages of {sent} bytes on the source, "
            f"{local} on the destination",
            words=(
                ("ram-block-page-size", {"block": event.block.id, "local": local, "stream": sent}),
            ),
        )


_BLOCK = RamBlock(id="pc.ram", used_length=1 << 30, page_size=2 << 20)
RULE = Rule(
    id="ram-block-page-size",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "{loading: |Back the guest's memory with pages of the same size {moving: on both hosts} "
        "(hugepages or not){moving: , or migrate without postcopy}.}"
    ),
    prevent="{moving: Configure hugepages alike on all hosts of a migration domain.}",
    events=(RamBlockRead,),
    check=check,
    examples=(
        refuses(
            RamBlockRead(
                release=(10, 0), block=_BLOCK, local=(1 << 30, 1 << 30), local_page_size=4096
            ),
            "2097152",
        ),
        loads(
            RamBlockRead(
                release=(10, 0), block=_BLOCK, local=(1 << 30, 1 << 30), local_page_size=2 << 20
            )
        ),
    ),
)
