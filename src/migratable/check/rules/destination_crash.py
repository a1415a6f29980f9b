"""The destination's QEMU was ended by a signal while it was loading.

## What it checks

`migratable rehearse`: the program ended by a signal of its own (an assertion, a fault), and no
rule predicts that.

## Why QEMU ends

A fault of that QEMU, set off by this stream; a migration would end so. An assertion that is
understood has the rule of its cause, such as {doc}`layout`.

## How to fix it

Take another release of the destination.

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
    now="Take another release of the destination, and report the fault to its maintainers with "
    "the stream (without RAM contents).",
    prevent="Rehearse the pair of releases with the machine type and devices in use before "
    "rolling it out.",
    verify="rehearse",
)
