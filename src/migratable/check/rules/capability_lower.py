"""A pseries guest has a machine capability at a lower level than the destination.

## What it checks

The same comparison as {doc}`capability-higher`, the other way round.

## Why QEMU only warns

The guest has a lower level than the destination. It keeps working.

## How to fix it

Nothing needs fixing. To remove the warning, give the destination the source's level.

## Source

`hw/ppc/spapr_caps.c: spapr_caps_post_migration`; 4.0 to 11.1.
"""

from __future__ import annotations

from migratable.check.example import spapr_with_cfpc
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="capability-lower",
    severity=Severity.WARNS,
    side=Fault.NEITHER,
    now="Nothing: a lower level in the stream is only a warning, the guest keeps working.",
    prevent="Write the capability into the VM's definition to avoid the warning.",
    verify="check",
    examples=(
        refuses(spapr_with_cfpc(0), "cap-cfpc"),
        loads(spapr_with_cfpc(1)),
    ),
)
