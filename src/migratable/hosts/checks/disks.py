"""A disk cannot be reached on the destination, or is another one.

## What it checks

Every file and block device of the guest must be on the destination under the same path, with the
same format and size. preflight reads only the first 64 bytes and locks nothing. It does not check
disks that are not files of the host (NBD, RBD, iSCSI).

## Why QEMU refuses

The destination opens its disks when the migration ends, and reports `Could not open`. A disk of
another size damages the guest's file system later. If the disk is on a local file system of both
hosts, it is not shared: there are two files with the same name.

## How to fix it

Mount the shared storage, or copy the disks along (`virsh migrate --copy-storage-all`; then
ask with `preflight --copy-storage`).

## Verify

`stat FILE` on both hosts; `qemu-img info -U FILE`.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.verdict import Finding, Severity

_LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs"})
ID = "host-disks"


def check(pair: Pair) -> Iterator[Finding]:
    """There, the same, and shared?"""
    for path, shape, role in pair.needs.disks:
        if role != "disk":
            continue
        here, there = pair.source["files"][path], pair.destination["files"][path]
        if not there["there"]:
            yield from _absent(pair, path, there["why"])
            continue
        for what, name in (("format", "format"), ("size", "virtual_size"), ("size", "size")):
            one, other = here.get(name), there.get(name)
            raw = name != "size" or here.get("format") == "raw"
            if one and other and one != other and raw and not (what == "format" and shape == "raw"):
                yield found(
                    ID,
                    Severity.ENDANGERS,
                    f"{path}: its {what} is {one} on the source, {other} on the destination",
                    fix="make it the same disk on both hosts",
                )
                break
        if pair.copies_storage or here.get("kind") != "file":
            continue
        systems = {here.get("file_system", ""), there.get("file_system", "")}
        if here["there"] and systems <= _LOCAL:
            yield found(
                ID,
                Severity.WARNS,
                f"{path} is on a local file system of both hosts ({', '.join(sorted(systems))}): "
                "is it the same disk?",
                fix="use shared storage, or copy the disks along (--copy-storage)",
            )


def _absent(pair: Pair, path: str, why: str) -> Iterator[Finding]:
    if why == "Permission denied":
        pair.not_seen.append(f"destination: {path} (Permission denied; run with --sudo)")
        return
    if pair.copies_storage:
        yield found(
            ID,
            Severity.INFO,
            f"{path} is not on the destination yet; the migration must copy it (--copy-storage)",
        )
        return
    yield found(
        ID,
        Severity.REFUSES,
        f"the disk {path} is not on the destination ({why})",
        fix="mount its storage on the destination, or copy the disks "
        "(virsh migrate --copy-storage-all; --copy-storage here)",
    )


CHECK = HostCheck(id=ID, severity=Severity.REFUSES, check=check)
