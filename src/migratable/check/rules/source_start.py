"""The source's QEMU does not start with these options.

## What it checks

`migratable caps` and `whatif` model both sides from their options: the source must start first.

## Why QEMU refuses

A capability, a CPU model or a property that the release does not have or cannot give.

## How to fix it

The finding has QEMU's own error line, which names the reason.

## Source

`hw/ppc/spapr_caps.c: spapr_caps_apply`, `hw/ppc/spapr.c: spapr_machine_init`; 4.1 to 11.1.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="source-start",
    severity=Severity.REFUSES,
    side=Fault.SOURCE,
    now=(
        "Correct the machine's options for that release{moving: ; the migration itself was not "
        "reached}."
    ),
    prevent="Test a command line on the release that will run it.",
    verify="profile",
)
