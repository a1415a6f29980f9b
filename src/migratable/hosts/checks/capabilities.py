"""A migration capability is on at the source that the destination's QEMU does not know.

## What it checks

`query-migrate-capabilities` of the guest and of the destination's program.

## Why it fails

Both sides must have a capability that changes the stream (`multifd`, `mapped-ram`, `xbzrle`,
`zero-copy-send`); switching on one that a side does not know is an error before anything moves.

## How to fix it

Switch it off at the source for this migration: `migrate-set-capabilities`.

## Verify

`info migrate_capabilities` on both sides.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.units import some
from migratable.verdict import Finding, Severity

ID = "host-capabilities"


def check(pair: Pair) -> Iterator[Finding]:
    """Which?"""
    known = pair.destination["capabilities"]
    if known is None or not pair.capabilities:
        return
    missing = [name for name in pair.capabilities if name not in known]
    if missing:
        yield found(
            ID,
            Severity.WARNS,
            f"on at the source, and unknown to the destination's QEMU: {some(missing)}",
            fix="switch it off at the source for this migration (migrate-set-capabilities)",
        )


CHECK = HostCheck(id=ID, severity=Severity.WARNS, check=check)
