"""A socket that another program must serve is missing on the destination.

## What it checks

Sockets of vhost-user devices and virtiofs on the guest's command line.

## Why the start fails

`Failed to connect to 'PATH': No such file or directory`: the backend must run before the
destination starts. libvirt starts virtiofsd for the guest itself; then nothing is missing.

## How to fix it

Start the backend (dpdk, spdk, virtiofsd) on the destination, with the same features.

## Verify

`ss -xl | grep PATH`
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.verdict import Finding, Severity

ID = "host-sockets"


def check(pair: Pair) -> Iterator[Finding]:
    """There?"""
    for path in pair.needs.sockets:
        if pair.destination["sockets"].get(path):
            continue
        if (pair.needs.libvirt and "virtiofs" in path) or ("/fs" in path and pair.needs.libvirt):
            continue  # libvirt starts its server
        yield found(
            ID,
            Severity.REFUSES,
            f"nothing serves {path} on the destination",
            fix="start the vhost-user backend on the destination before the migration",
        )


CHECK = HostCheck(id=ID, severity=Severity.REFUSES, check=check)
