"""A bridge or network of the guest is missing on the destination.

## What it checks

Bridges and the interfaces under macvtap (`/sys/class/net`), and libvirt's networks, which must be
active.

## Why the start fails

libvirt: `Cannot get interface MTU on 'br0': No such device`, `network 'x' is not active`; QEMU:
`bridge helper failed`. The destination does not start; the guest continues on the source.

## How to fix it

Make the bridge, or start the network: `virsh net-start NAME`.

## Verify

`ip link show BRIDGE`, `virsh net-list`.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.verdict import Finding, Severity

ID = "host-networks"


def check(pair: Pair) -> Iterator[Finding]:
    """There, and active?"""
    for name in pair.needs.bridges:
        if not pair.destination["bridges"].get(name):
            yield found(
                ID,
                Severity.REFUSES,
                f"the destination has no network interface {name!r}",
                fix=f"make the bridge {name} on the destination",
            )
    for name in pair.needs.networks:
        if pair.destination["networks"].get(name) is False:
            yield found(
                ID,
                Severity.REFUSES,
                f"libvirt's network {name!r} is not active on the destination",
                fix="start it on the destination",
                command=f"virsh net-start {name}",
            )


CHECK = HostCheck(id=ID, severity=Severity.REFUSES, check=check)
