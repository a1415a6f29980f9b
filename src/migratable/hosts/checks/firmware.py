"""A firmware file is missing on the destination, or has another size.

## What it checks

The files of `-bios`, `-pflash`, pflash drives, `-kernel` and `-initrd` must be on the destination
under the same path, with the same size. The destination's own option ROMs and BIOS are in its
profile, where the sizes of their RAM blocks are compared (`ram-block-size`).

## Why QEMU refuses

A flash image of another size gives another `system.flash0`: `Size mismatch` when it is loaded, or
no start at all (`device requires N bytes, block backend provides M bytes`).

## How to fix it

Install the same firmware package, or point the destination's definition to an image of the same
size. The file of the UEFI variables is a part of the guest's storage, not of its stream.

## Verify

`stat -c %s FILE` on both hosts.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.verdict import Finding, Severity

ID = "host-firmware"


def check(pair: Pair) -> Iterator[Finding]:
    """There, and as large?"""
    for path, _, role in pair.needs.disks:
        if role == "disk":
            continue
        here, there = pair.source["files"][path], pair.destination["files"][path]
        if not there["there"]:
            if there["why"] == "Permission denied":
                pair.not_seen.append(f"destination: {path} (Permission denied)")
                continue
            yield found(
                ID,
                Severity.REFUSES,
                f"{path} is not on the destination",
                fix="install the package that has it, or name another file of the same size",
            )
        elif None not in (here["size"], there["size"]) and here["size"] != there["size"]:
            yield found(
                ID,
                Severity.REFUSES if role == "firmware" else Severity.WARNS,
                f"{path} has {here['size']} bytes on the source, "
                f"{there['size']} on the destination",
                fix="install the same version on both hosts",
            )


CHECK = HostCheck(id=ID, severity=Severity.REFUSES, check=check)
