"""The destination refused with a message that migratable does not know.

## What it checks

`migratable rehearse`: the load failed, and the catalogue of messages has none of the printed
lines.

## Why QEMU refuses

The report shows QEMU's own lines, which name the reason.

## How to fix it

`migratable check` finds the field from the stream itself. Please report the lines.

## Source

The program itself.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="unrecognised",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now="Read QEMU's own lines; migratable check finds the field from the stream itself.",
    prevent="Test the pair of releases with the machine type and devices in use before rolling it "
    "out.",
    verify="check",
)
