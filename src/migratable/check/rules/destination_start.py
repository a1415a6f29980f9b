"""The destination's QEMU does not start.

## What it checks

The command line is started, paused and inert. What it prints when it ends at once is the answer.

## Why QEMU refuses

A machine type, CPU, device or property that the release does not have, options that do not go
together, resources that are missing. The migration itself is not reached.

## How to fix it

Its own last line says it. `migratable explain` has more for many of them.

## Source

The program itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.points import NotStarted
from migratable.check.rule import Rule, refuses
from migratable.check.trouble import Problem
from migratable.verdict import Severity


def check(at: NotStarted) -> Iterator[Problem]:
    """It has printed why."""
    cause = next(
        (line for line in at.stderr if "warning:" not in line and line.strip()),
        at.stderr[-1] if at.stderr else "",
    )
    yield Problem(
        rule=RULE.id,
        summary=f"the destination does not start: {cause or 'it said nothing'}",
    )


RULE = Rule(
    id="destination-start",
    severity=Severity.REFUSES,
    at=(NotStarted,),
    check=check,
    examples=(
        refuses(
            NotStarted(release=(10, 0), stderr=('unsupported machine type: "pc-q35-99"',)),
            "unsupported machine type",
        ),
    ),
)
