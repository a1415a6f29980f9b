"""The stream has a value that the device cannot have.

## What it checks

Fields that must exist by a test (`VMSTATE_VALIDATE`): the number of HPET timers, the length of an
AER log; and values that a device's own code refuses right after they were loaded.

## Why QEMU refuses

Such values come from another configuration (fewer timers) or from a damaged stream; QEMU rejects
them.

A guest with `uefi-vars` loads, with a warning: QEMU 10.0 to 11.1 check the length of a variable's
digest in memory that they have neither read nor cleared, and refuse a few loads in a hundred by
chance. Migrate again.

## How to fix it

Look at the field with `migratable inspect`, and at the option that decides it.

## Source

`migration/vmstate.c: vmstate_load_state` (`VMS_MUST_EXIST`); 4.1 to 11.1.
`hw/uefi/var-service-vars.c: uefi_vars_post_load`, `migration/vmstate-types.c: get_qtailq`; 10.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from errno import EPERM

from migratable.check.events import FieldMissing
from migratable.check.problem import Problem
from migratable.check.rule import Rule, refuses
from migratable.check.state import LoadedState
from migratable.messages import Fault
from migratable.profile.tables import Flag, VmField, Vmsd
from migratable.verdict import Severity


def check(event: FieldMissing) -> Iterator[Problem]:
    """The field's test said no."""
    name = f"{event.body.vmsd.name}/{event.field.name}"
    yield Problem(
        rule=RULE.id,
        summary=f"the destination's check {name!r} fails on the loaded values",
        words=(
            (
                "field-validation",
                {
                    "vmsd": event.body.vmsd.name,
                    "field": event.field.name,
                    "version": event.body.vmsd.version,
                },
            ),
        ),
        errno=EPERM,
        field=event.field.name,
    )


_HPET = Vmsd(name="hpet", version=2, minimum=1)
_CHECK = VmField(name="num_timers must match", flags=Flag.MUST_EXIST)
RULE = Rule(
    id="field-validation",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now="Look at the named field with migratable inspect: its value is not one that this device "
    "can have.",
    prevent="Test the pair of releases with the machine type and devices in use before rolling it "
    "out.",
    verify="check",
    events=(FieldMissing,),
    check=check,
    examples=(
        refuses(
            FieldMissing(
                release=(10, 0),
                body=LoadedState(index=0, vmsd=_HPET, opaque=0, version=2),
                field=_CHECK,
            ),
            "num_timers",
        ),
    ),
)
