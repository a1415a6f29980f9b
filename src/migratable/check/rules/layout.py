"""The destination's tables and the stream disagree inside a section.

## What it checks

Array elements that only one side has: where the destination has no object, the stream must have
the placeholder of a missing one.

## Why QEMU refuses

Everything after it would be misread. Most differences of layout are only seen at the
section's end ({doc}`section-footer`); this one is seen at once.

## How to fix it

Make the number of objects (timers, CPUs, ports) equal on both sides.

## Source

`migration/vmstate-types.c: get_nullptr`; 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import ElementRead
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.facts.behaviour import behaves
from migratable.messages import Fault
from migratable.profile.tables import VmField, Vmsd
from migratable.verdict import Severity

_MARKER = 0x30


def check(event: ElementRead) -> Iterator[Problem]:
    """The placeholder stands where the destination has nothing."""
    if event.marker != _MARKER:
        yield Problem(
            rule=RULE.id,
            summary=f"{event.vmsd.name}:{event.field.name}: the destination has no object where "
            "the stream has one",
            words=(
                ("nullptr-marker", {})
                if behaves(event.release, "null-marker-has-a-message")
                else ("pointer-marker", {"marker": event.marker}),
            ),
            field=event.field.name,
        )


_VMSD = Vmsd(name="xive", version=1, minimum=1)
_FIELD = VmField(name="tctx")
RULE = Rule(
    id="layout",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now="Find the first field that differs (migratable check shows it); fix the device's "
    "configuration, or take a release in which the fault is fixed.",
    prevent="Test the pair of releases with the machine type and devices in use before rolling it "
    "out.",
    verify="check",
    events=(ElementRead,),
    check=check,
    examples=(
        refuses(ElementRead(release=(10, 0), vmsd=_VMSD, field=_FIELD, marker=1), "no object"),
        refuses(ElementRead(release=(11, 1), vmsd=_VMSD, field=_FIELD, marker=1), "no object"),
        loads(ElementRead(release=(10, 0), vmsd=_VMSD, field=_FIELD, marker=0x30)),
    ),
)
