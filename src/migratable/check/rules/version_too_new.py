"""A body's version is newer than the destination reads.

## What it checks

The version of every section's body, subsection and structure whose version is on the wire, against
the destination's description of it.

## Why QEMU refuses

The destination's tables do not have the fields of later versions.

## How to fix it

Take a destination at least as new as the source. Nested structures keep their newest version
whatever the machine type is, so older machine types do not help.

## Source

`migration/vmstate.c: vmstate_load_state`; 4.1 to 11.1. Example: pseries from 10.0 to
7.2, `cpu/slb: incoming version_id 2 is too new for local version_id 1`.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import BodyBegun
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.profile.tables import Vmsd
from migratable.verdict import Severity


def check(event: BodyBegun) -> Iterator[Problem]:
    """The version is not above what the description takes."""
    if not event.version > event.vmsd.version:
        return
    yield outside(event, RULE.id, "local", event.vmsd.version)


def outside(event: BodyBegun, rule: str, limit: str, value: int) -> Problem:
    """A body's version is not among those that the destination reads.

    :param limit: parameter of the rule's message for the limit, and its *value*.
    """
    return Problem(
        rule=rule,
        summary=f"{event.vmsd.name} has version {event.version}, the destination reads "
        f"{event.vmsd.minimum} to {event.vmsd.version}",
        words=((rule, {"vmsd": event.vmsd.name, "version": event.version, limit: value}),),
        subsection=event.vmsd.name if "/" in event.vmsd.name else None,
    )


_SLB = Vmsd(name="cpu/slb", version=1, minimum=1)
RULE = Rule(
    id="version-too-new",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now="{loading: |Migrate to a QEMU that is at least as new as {the source's}.}",
    prevent="Migrate forward only, or test the pair of releases before relying on the way back.",
    verify="check",
    events=(BodyBegun,),
    check=check,
    examples=(
        refuses(BodyBegun(release=(7, 2), vmsd=_SLB, version=2), "cpu/slb"),
        loads(BodyBegun(release=(7, 2), vmsd=_SLB, version=1)),
    ),
)
