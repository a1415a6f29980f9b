"""The guest's emulated TPM needs swtpm on the destination.

## What it checks

The destination has `swtpm`, and its release is not older than the source's.

## Why it fails

The guest's stream contains the TPM's state, and swtpm loads it. An older swtpm refuses the state of
a newer one (`The TPM 2 state is of a newer version`). Without swtpm, libvirt does not start the
guest.

## How to fix it

Install the same or a newer swtpm and libtpms.

## Verify

`swtpm --version` on both hosts.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.verdict import Finding, Severity

ID = "host-tpm"


def check(pair: Pair) -> Iterator[Finding]:
    """There, and new enough?"""
    if not pair.needs.tpm:
        return
    here, there = str(pair.source["swtpm"]), str(pair.destination["swtpm"])
    if not there:
        yield found(
            ID,
            Severity.REFUSES,
            "the guest has an emulated TPM, and the destination no swtpm",
            fix="install swtpm on the destination",
        )
    elif here and numbers(there) < numbers(here):
        yield found(
            ID,
            Severity.ENDANGERS,
            f"swtpm is {here} on the source, {there} on the destination, which may refuse its "
            "state",
            fix="install the same or a newer swtpm on the destination",
        )


def numbers(text: str) -> tuple[int, ...]:
    """A release as numbers."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())


CHECK = HostCheck(id=ID, severity=Severity.REFUSES, check=check)
