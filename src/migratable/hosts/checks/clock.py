"""The hosts' clocks differ.

## What it checks

The time of both hosts, less the time that asking takes.

## Why it matters

A guest's clock goes on from the destination's: `rtc base=utc,clock=host` jumps, certificates and
leases become invalid, and a guest that sees time go back may stop its timers.

## How to fix it

Let both hosts follow the same time server (chrony, ntpd).

## Verify

`chronyc tracking` on both hosts.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.verdict import Finding, Severity

_SECONDS = 2.0
ID = "host-clock"


def check(pair: Pair) -> Iterator[Finding]:
    """By how much?"""
    if abs(pair.skew) > _SECONDS:
        way = "ahead of" if pair.skew > 0 else "behind"
        yield found(
            ID,
            Severity.WARNS,
            f"the destination's clock is {abs(pair.skew):.1f} s {way} the source's",
            fix="let both hosts follow the same time server",
        )


CHECK = HostCheck(id=ID, severity=Severity.WARNS, check=check)
