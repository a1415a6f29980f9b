"""The destination's QEMU does not start.

## What it checks

The command line is started, paused and inert. If it ends at once, its output is the answer.

## Why QEMU refuses

The release lacks a machine type, CPU, device or property, options contradict each other, or
a resource is missing. The migration does not begin.

## How to fix it

The program's last line names the reason. `migratable explain` has a remedy for many such lines.

## Source

The program itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from migratable.check.events import NotStarted
from migratable.check.problem import Problem
from migratable.check.rule import Rule, refuses
from migratable.messages import Fault
from migratable.problem_facts import StartFacts
from migratable.verdict import Severity

_CONTINUED = (
    "Please configure -smp options properly or try enabling topoext feature.",
    "This may cause strange/hard to debug errors",
    "the one being picked for CMOS setup might not reflect your intent",
    "Try removing CPUs, NUMA nodes, memory slots or PCI bridges.",
    "Try removing some objects.",
    'Defaulting to "bh"',
)
"""What follows a warning (``error_printf`` behind ``warn_report``), in part without a line end."""
_PROGRAM = re.compile(r"^\S*qemu-\S+: ")


def _error(line: str) -> str:
    """The line's own error; empty for a warning and what belongs to one."""
    for words in _CONTINUED:
        if line.startswith(words):
            line = _PROGRAM.sub("", line.removeprefix(words))
    return "" if "warning:" in line else line.strip()


def check(event: NotStarted) -> Iterator[Problem]:
    """It has printed why."""
    cause = next(
        filter(None, map(_error, event.stderr)),
        event.stderr[-1] if event.stderr else "",
    )
    yield Problem(
        rule=RULE.id,
        summary=f"the destination does not start: {cause or 'it printed nothing'}",
        facts=StartFacts(said=cause),
    )


RULE = Rule(
    id="destination-start",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Repair what keeps {the destination's QEMU} from starting{moving: ; the migration itself "
        "was not reached}."
    ),
    prevent="{moving: Check a host with the VM's command line before it takes guests.}",
    verify="profile",
    events=(NotStarted,),
    check=check,
    examples=(
        refuses(
            NotStarted(release=(10, 0), stderr=('unsupported machine type: "pc-q35-99"',)),
            "unsupported machine type",
        ),
        refuses(
            NotStarted(
                release=(7, 2),
                stderr=(
                    "warning: This family of AMD CPU doesn't support hyperthreading(2)",
                    "Please configure -smp options properly or try enabling topoext feature.",
                    "-device x: 'x' is not a valid device model name",
                ),
            ),
            "start: -device x: 'x' is not",
        ),
        refuses(
            NotStarted(
                release=(7, 2),
                stderr=(
                    "the one being picked for CMOS setup might not reflect your intent"
                    "qemu-system-x86_64: no room",
                ),
            ),
            "start: no room",
        ),
    ),
)
