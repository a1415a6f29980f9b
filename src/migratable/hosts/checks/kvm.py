"""The guest runs under KVM, which the destination does not have.

## What it checks

If the guest's command line asks for KVM, preflight opens `/dev/kvm` on the destination.

## Why QEMU refuses

`Could not access KVM kernel module`: the destination does not start. With `-accel kvm:tcg` it would
start under TCG, and refuse a stream of KVM (`Unknown savevm section or instance 'kvmclock'`).

## How to fix it

Load the module (`modprobe kvm_intel` or `kvm_amd`), switch virtualisation on in the firmware; in a
virtual machine, nesting on its host (`kvm_intel.nested=1`).

## Verify

`ls -l /dev/kvm` on the destination.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.verdict import Finding, Severity

ID = "host-kvm"


def check(pair: Pair) -> Iterator[Finding]:
    """Is it there, and can it be opened?"""
    kvm = pair.destination["kvm"]
    if not pair.needs.kvm or not kvm["why"]:
        return
    if kvm["there"] and not pair.destination["root"]:
        pair.not_seen.append(f"destination: /dev/kvm ({kvm['why']}; run with --sudo)")
        return
    yield found(
        ID,
        Severity.REFUSES,
        f"the guest runs under KVM, and the destination's /dev/kvm cannot be used: {kvm['why']}",
        fix="load kvm_intel or kvm_amd on the destination, or switch virtualisation on in its "
        "firmware",
    )


CHECK = HostCheck(id=ID, severity=Severity.REFUSES, check=check)
