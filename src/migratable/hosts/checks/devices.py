"""The guest uses a device of its host, and cannot be moved with it.

## What it checks

`vfio-*`, `usb-host`, SCSI passthrough, `vhost-vsock` and shared memory on the command line.

## Why QEMU refuses

QEMU marks most of these as unmigratable (`State blocked by non-migratable device`, `VFIO migration
is not supported`). The others name a part of the host that has another name on the destination.

## How to fix it

Unplug it before the migration, and plug in a device of the destination afterwards (`virsh
detach-device`, `failover_pair_id` for networks).

## Verify

`info migrate` (QMP `query-migrate`, `blocked-reasons`).
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.verdict import Finding, Severity

ID = "host-devices"


def check(pair: Pair) -> Iterator[Finding]:
    """Which?"""
    for words in pair.needs.host_devices:
        kind = words.split()[0]
        blocks = kind.startswith("vfio") or kind in {"scsi-generic", "scsi-block"}
        yield found(
            ID,
            Severity.WARNS if not blocks else Severity.ENDANGERS,
            f"the guest has a device of its host: {words}; QEMU's migration blockers say whether "
            "it can be migrated",
            fix="unplug it before the migration, plug in one of the destination afterwards",
        )


CHECK = HostCheck(id=ID, severity=Severity.REFUSES, check=check)
