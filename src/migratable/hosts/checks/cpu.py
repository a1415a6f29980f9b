"""The destination's processor lacks features that the source's has.

## What it checks

Features that the kernels list in `/proc/cpuinfo`, by name. A guest whose CPU model is the host's
own (`-cpu host`, `host-passthrough`) has seen them all.

## Why it matters

QEMU sends no list of CPU features. If the guest then uses an instruction that the destination
lacks, it gets an invalid opcode, after the migration was reported as completed. With a named model
and `enforce` (libvirt: `check='full'`) the destination refuses to start instead, which the profile
and the rehearsal show.

## How to fix it

Give the guest a CPU model that both hosts have, and restart it: `virsh hypervisor-cpu-baseline`
over both hosts' `virsh domcapabilities` names one.

## Verify

`diff <(grep -m1 flags /proc/cpuinfo) <(ssh HOST grep -m1 flags /proc/cpuinfo)`
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.units import some
from migratable.verdict import Finding, Severity

ID = "host-cpu"


def check(pair: Pair) -> Iterator[Finding]:
    """Names of what is missing."""
    here, there = pair.source["cpu"], pair.destination["cpu"]
    if pair.source["machine"] != pair.destination["machine"]:
        if pair.needs.kvm:
            kinds = f"{pair.source['machine']}, {pair.destination['machine']}"
            yield found(ID, Severity.REFUSES, f"the hosts are of different architectures: {kinds}")
        return
    if not here["flags"] or not there["flags"]:
        if pair.needs.kvm:
            pair.not_seen.append("features of the processors (the kernel lists none)")
        return
    missing = sorted(set(here["flags"]) - set(there["flags"]))
    if not missing or not pair.needs.kvm:
        return
    grave = pair.needs.host_cpu
    yield found(
        ID,
        Severity.ENDANGERS if grave else Severity.INFO,
        f"the destination's processor ({there['model'] or 'unnamed'}) lacks {some(missing)}"
        + (", which the guest sees and may use" if grave else ""),
        fix="give the guest a CPU model that both hosts have, and restart it" if grave else "",
        command="virsh hypervisor-cpu-baseline CAPABILITIES-OF-BOTH" if grave else "",
    )


CHECK = HostCheck(id=ID, severity=Severity.ENDANGERS, check=check)
