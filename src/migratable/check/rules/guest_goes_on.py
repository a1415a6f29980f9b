"""The result of watching the guest after the destination has loaded it.

## What it checks

`migratable rehearse --alive` loads the stream with guest memory, lets the guest run, and watches
it: vCPUs make progress, the console shows no crash, idle vCPUs wake.

## Why QEMU loads it all the same

A loader checks the format and a few values. Only the running guest shows whether interrupts, clocks
and processors still work.

## How to fix it

A guest that hangs or crashes here would also do so after the migration: see the other findings
for the cause.

## Source

The running guest.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="guest-goes-on",
    severity=Severity.INFO,
    side=Fault.CANNOT_TELL,
    now=("If it hangs or crashes: leave the guest on {the source}, and use another destination."),
    prevent="{moving: Rehearse with --alive before a fleet is moved to a new release.}",
    verify="rehearse",
)
