"""A disk, its lock or its copy stops the migration.

## What it checks

Nothing offline: a profile opens no disk. `migratable preflight` looks at the disks of both hosts
(`host-disks`); `migratable explain` knows the messages.

## Why QEMU refuses

The destination opens the same image as the source and takes its lock when the source gives it up;
a copy over NBD ends; an image is not where the definition says, or not of its size.

## How to fix it

Make the image reachable under the same name on both hosts, or copy it; no third process may hold
its lock.

## Source

`block/file-posix.c: raw_check_lock_bytes`, `block.c: bdrv_activate_all`, `nbd/`, and libvirt's
storage drivers.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="storage",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now=("{loading: |Check that the disk images are reachable and not locked by the other side.}"),
    prevent=(
        "{moving: Use shared storage with working locks, or migrate the storage with the VM.}"
    ),
)
