"""The source could not write its own state.

## What it checks

Nothing offline: `migratable explain` knows the messages. `migratable capture` writes the same
state and says the same.

## Why QEMU refuses

A device's `pre_save` failed, a backend (vhost, VFIO, a TPM) did not give its state, or a disk
could not be flushed. The guest is still on the source.

## How to fix it

The line names the device: repair its backend, or unplug it for the migration.

## Source

`migration/savevm.c: qemu_savevm_state_complete_precopy`, `migration/vmstate.c:
vmstate_save_state_v`; 4.1 to 11.1.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="source-save",
    severity=Severity.REFUSES,
    side=Fault.SOURCE,
    now=(
        "Read the line: {the source} could not write its state. The guest is still on {the source}."
    ),
    prevent="{moving: Repair the device or backend on the source that cannot be saved.}",
    verify="capture",
)
