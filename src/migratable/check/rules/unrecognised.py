"""The destination refused with a message that migratable does not know.

## What it checks

`migratable rehearse`: the load failed, and none of the lines is one that the catalogue of
messages has.

## Why QEMU refuses

Its own lines, which the report has, say it.

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
