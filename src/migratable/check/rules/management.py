"""libvirt or a manager of virtual machines refused or failed, and QEMU was not the cause.

## What it checks

Nothing offline: `migratable explain` knows the messages of libvirt, Proxmox VE, OpenStack and
others.

## Why it is refused

Managers check definitions, permissions, networks, storage and timeouts before, during and after
QEMU's migration, and stop the migration for their own reasons. QEMU's log then has no cause, or
only the end of the migration.

## How to fix it

The message names what the manager asks for; `migratable explain` has a remedy for each.

## Source

`src/qemu/qemu_migration.c` of libvirt and the managers' own code.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="management",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now=(
        "Read the manager's lines around this one, and its own log at that time. {loading: |QEMU's "
        "log (/var/log/libvirt/qemu/NAME.log) says more only where a QEMU was started.}"
    ),
    prevent="{moving: Keep the managers' versions and settings equal on both hosts.}",
)
