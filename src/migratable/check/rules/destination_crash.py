"""The destination's QEMU crashed while it loaded the stream.

## What it checks

`migratable rehearse`: the program crashed (an assertion, a fault), and no rule predicts that.

## Why QEMU ends

This stream triggers a fault of that QEMU; a migration would end in the same way. An assertion with
a known cause has the rule of that cause, such as {doc}`layout`.

## How to fix it

Use another release of the destination.

## Source

The program itself; its last line names file and function of an assertion.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="destination-crash",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Take another release of {the destination}, and report the fault to its maintainers with "
        "the stream (without RAM contents)."
    ),
    prevent="Rehearse the pair of releases with the machine type and devices in use before "
    "rolling it out.",
    verify="rehearse",
)
