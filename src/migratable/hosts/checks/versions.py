"""The destination's QEMU or libvirt is older than the source's.

## What it checks

Releases on both hosts.

## Why it matters

Versioned machine types promise that a newer QEMU loads an older stream. An older QEMU often loads a
newer stream, but that is not promised. The verdict shows a refusal between these two hosts; the
next upgrade of the source may change the answer. libvirt refuses definitions with elements that it
does not know yet.

## How to fix it

Upgrade the destination first.

## Verify

`qemu-system-x86_64 --version`, `virsh version --daemon`.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.hosts.checks.tpm import numbers
from migratable.verdict import Finding, Severity

ID = "host-versions"


def check(pair: Pair) -> Iterator[Finding]:
    """Older?"""
    profile = pair.arrived.get("profile") or {}
    there = str((profile.get("version") or {}).get("number", ""))
    here = pair.release.split(" ")[0]
    if here and there and numbers(there)[:2] < numbers(here)[:2]:
        yield found(
            ID,
            Severity.INFO,
            f"the destination's QEMU {there} is older than the source's {here}: a guest "
            "that loads today may not load after the next upgrade of the source",
        )
    one, other = str(pair.source["libvirt"]), str(pair.destination["libvirt"])
    if one and other and numbers(other) < numbers(one):
        yield found(
            ID,
            Severity.INFO,
            f"the destination's libvirt {other} is older than the source's {one}",
        )


CHECK = HostCheck(id=ID, severity=Severity.INFO, check=check)
