"""The hosts confine their guests in different ways.

## What it checks

SELinux (`/sys/fs/selinux/enforce`) and AppArmor (`/sys/module/apparmor`) on both hosts.

## Why it matters

A path that the source's policy lets a guest open may be denied on the destination: `Permission
denied` for a disk that is there. libvirt labels what it starts; paths of a plain QEMU are the
administrator's.

## How to fix it

Label the paths (`semanage fcontext`, `restorecon`), or add them to
`/etc/apparmor.d/local/abstractions/libvirt-qemu`.

## Verify

`journalctl -k | grep -i denied` on the destination.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.verdict import Finding, Severity

ID = "host-confinement"


def check(pair: Pair) -> Iterator[Finding]:
    """Different?"""
    here, there = pair.source["confinement"], pair.destination["confinement"]
    for name, title in (("selinux", "SELinux"), ("apparmor", "AppArmor")):
        if here[name] != there[name] and there[name] in {"enforcing", "on"}:
            yield found(
                ID,
                Severity.INFO,
                f"{title} is {there[name]} on the destination, {here[name]} on the source: paths "
                "of this guest may be denied on the destination",
            )


CHECK = HostCheck(id=ID, severity=Severity.INFO, check=check)
