"""The destination's libvirt refuses the guest's definition.

## What it checks

The guest's migratable XML (`virsh dumpxml --migratable`) is given to the destination's own libvirt
(`virsh domxml-to-native qemu-argv`), which builds its own command line.

## Why libvirt refuses

Before it starts anything, libvirt looks for the emulator, the machine type, the CPU model and every
device in the capabilities of its own QEMU: `the CPU is incompatible with host CPU`, `unsupported
machine type`, `Cannot check QEMU binary`. A real migration fails in the same way.

## How to fix it

Install the QEMU that the definition names (`<emulator>`), or hand a changed definition to the
migration: `virsh migrate --xml FILE`, where FILE may name another emulator and host-side paths.

## Verify

`virsh dumpxml --migratable GUEST | virsh -c qemu+ssh://HOST/system domxml-to-native qemu-argv
/dev/stdin`
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hosts.checks.check import HostCheck, Pair, found
from migratable.verdict import Finding, Severity

ID = "host-libvirt"


def check(pair: Pair) -> Iterator[Finding]:
    """Its own words."""
    text = str(pair.arrived.get("libvirt_refused", ""))
    if text:
        yield found(
            ID,
            Severity.REFUSES,
            f"the destination's libvirt refuses the definition: {text}",
            fix="change the definition for the destination (virsh migrate --xml FILE)",
            lines=text,
        )


CHECK = HostCheck(id=ID, severity=Severity.REFUSES, check=check)
