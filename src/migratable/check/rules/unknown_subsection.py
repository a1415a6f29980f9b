"""The stream has a subsection that the destination does not know.

## What it checks

Every subsection whose name begins with its parent's name against the parent's table on the
destination.

## Why QEMU refuses

A subsection is sent when the guest uses what it carries. A destination that does not know it would
lose that. Up to 10.1 QEMU names neither the subsection nor its parent: it prints the device's line
and `No such file or directory`.

## How to fix it

Turn off on the source what makes it send the subsection (often a device property that an older
machine type has off), or take a newer destination. The guest may have to be restarted for that.

## Source

`migration/vmstate.c: vmstate_subsection_load`; 4.1 to 11.1; the name is printed from 10.2 on.
"""

from __future__ import annotations

from collections.abc import Iterator
from errno import ENOENT

from migratable.check.events import SubsectionMet
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.facts.behaviour import behaves
from migratable.messages import Fault
from migratable.profile.tables import Vmsd
from migratable.verdict import Severity


def check(event: SubsectionMet) -> Iterator[Problem]:
    """The parent's table has it."""
    if event.known:
        return
    words: dict[str, str | int] = {"subsection": event.name, "vmsd": event.parent.name}
    yield Problem(
        rule=RULE.id,
        summary=f"the destination does not know the subsection {event.name}",
        explanation=f"{event.parent.name} has it on the source only.",
        words=(("subsection-unknown", words),) if behaves(event.release, "chained-errors") else (),
        errno=ENOENT,
        subsection=event.name,
    )


_CPU = Vmsd(name="cpu", version=5, minimum=5)
RULE = Rule(
    id="unknown-subsection",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "{loading: |Find the subsection that {the destination} does not know (migratable check "
        "names it) and turn off the feature that makes {the source} send it{moving: , or migrate "
        "to a newer QEMU}.}"
    ),
    prevent=(
        "{moving: Migrate forward only; set features that a subsection carries alike on both "
        "sides.}"
    ),
    verify="check",
    events=(SubsectionMet,),
    check=check,
    examples=(
        refuses(SubsectionMet(release=(7, 2), parent=_CPU, name="cpu/new", known=False), "cpu/new"),
        loads(SubsectionMet(release=(7, 2), parent=_CPU, name="cpu/slb", known=True)),
    ),
)
