"""A body's version is older than the destination still reads.

## What it checks

The version of every section's body, subsection and structure whose version is on the wire, against
the destination's description of it.

## Why QEMU refuses

The tables no longer have the fields of that version; old formats are dropped after some years.

## How to fix it

Migrate via an intermediate release that reads the old version and writes the new one
(`migratable route`), or restart the guest.

## Source

`migration/vmstate.c: vmstate_load_state`; 4.1 to 11.1. Up to 6.x
`load_state_old` could still take such versions.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import BodyBegun
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.check.rules.version_too_new import outside
from migratable.messages import Fault
from migratable.profile.tables import Vmsd
from migratable.verdict import Severity


def check(event: BodyBegun) -> Iterator[Problem]:
    """The version is not below what the description takes."""
    old = event.vmsd.minimum_old
    if not event.version < event.vmsd.minimum or (old is not None and event.version >= old):
        return
    yield outside(event, RULE.id, "minimum", event.vmsd.minimum)


_SLB = Vmsd(name="cpu/slb", version=2, minimum=2)
RULE = Rule(
    id="version-too-old",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "{loading: |Migrate via an intermediate release that still reads the old version and "
        "writes the new one, or restart the guest on {the destination}.}"
    ),
    prevent="Do not let guests fall many releases behind; the oldest formats are dropped.",
    verify="check",
    events=(BodyBegun,),
    check=check,
    examples=(
        refuses(BodyBegun(release=(7, 2), vmsd=_SLB, version=1), "cpu/slb"),
        loads(BodyBegun(release=(7, 2), vmsd=_SLB, version=2)),
    ),
)
