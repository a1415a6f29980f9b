"""The hosts' clocks differ.

## What it checks

The difference between the clocks of both hosts, without the delay of the connection.

## Why it matters

After the migration the guest's clock follows the destination's: `rtc base=utc,clock=host` jumps,
certificates and leases become invalid, and a guest whose time goes back may stop its timers.

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
