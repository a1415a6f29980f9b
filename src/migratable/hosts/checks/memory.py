"""The destination has not enough memory, or not enough huge pages.

## What it checks

The guest's RAM blocks against `MemAvailable`, and against free huge pages if its memory uses huge
pages.

## Why it fails

`unable to map backing store for guest RAM: Cannot allocate memory` at the start; or, later, the
kernel ends the largest process, which is a guest.

## How to fix it

Free memory, or reserve pages: `sysctl vm.nr_hugepages=N`.

## Verify

`free -m`, `grep Huge /proc/meminfo`.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found, gib
from migratable.verdict import Finding, Severity

ID = "host-memory"


def check(pair: Pair) -> Iterator[Finding]:
    """Enough of it?"""
    memory = pair.destination["memory"]
    if pair.needs.hugepages:
        free = max(
            [int(size) * 1024 * count for size, count in memory["free_hugepages"].items()],
            default=0,
        )
        if free < pair.ram:
            yield found(
                ID,
                Severity.REFUSES,
                f"the guest needs {gib(pair.ram)} in huge pages ({pair.needs.hugepages}), "
                f"{gib(free)} are free on the destination",
                fix="reserve huge pages on the destination",
            )
        return
    if pair.ram > memory["total"] > 0:
        yield found(
            ID,
            Severity.REFUSES,
            f"the guest has {gib(pair.ram)}, the destination {gib(memory['total'])} in all",
        )
    elif pair.ram > memory["available"] > 0:
        yield found(
            ID,
            Severity.WARNS,
            f"the guest has {gib(pair.ram)}, and {gib(memory['available'])} are free on the "
            "destination",
            fix="free memory on the destination first",
        )


CHECK = HostCheck(id=ID, severity=Severity.REFUSES, check=check)
