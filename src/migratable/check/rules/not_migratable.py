"""The destination has a device that cannot be migrated.

## What it checks

Each registered handler of the destination whose description is marked as not migratable, and
whether the destination refuses to write a stream of its own.

## Why QEMU refuses

Before it reads a byte, the loader looks for such handlers and stops:
`State blocked by non-migratable device '...'`. It does not matter whether the source has the
device too; a source that has it could not have written a stream.

## How to fix it

Start the destination without the device. NVMe controllers, virtio-crypto, ivshmem with a server,
some TPM and accelerator devices are of this kind; unplug them on the source first.

## Source

`migration/savevm.c: qemu_savevm_state_blocked`, called by `qemu_loadvm_state`; 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import LoadBegun
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.verdict import Severity


def check(event: LoadBegun) -> Iterator[Problem]:
    """The first handler in the destination's list that is not migratable."""
    for idstr in event.unmigratable:
        yield Problem(
            rule=RULE.id,
            summary=f"the destination's device '{idstr}' cannot be migrated",
            explanation="QEMU looks for such devices before it reads the stream.",
            words=(("not-migratable", {"device": idstr}),),
            device=idstr,
        )
        return


RULE = Rule(
    id="not-migratable",
    severity=Severity.REFUSES,
    side=Fault.SOURCE,
    now=(
        "{loading: |Remove (unplug) the named device {for the migration}, or stop the guest and "
        "start it on the other host.}"
    ),
    prevent="{moving: Use only migratable devices.}",
    verify="capture",
    events=(LoadBegun,),
    check=check,
    examples=(
        refuses(LoadBegun(release=(10, 0), unmigratable=("0000:00:04.0/nvme",)), "cannot be"),
        loads(LoadBegun(release=(10, 0))),
    ),
)
