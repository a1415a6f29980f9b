"""A section has a newer version than the destination reads.

## What it checks

The version in a section's header against the version of the destination's handler, before any byte
of the section is read.

## Why QEMU refuses

A newer version has fields that the destination's tables do not have.

## How to fix it

Take a destination at least as new as the source. Machine types do not lower these versions.

## Source

`migration/savevm.c: qemu_loadvm_section_start_full`; 4.1 to 11.1. Example: pseries from 7.2 to 5.2,
`unsupported version 3 for 'spapr_iommu' v2`.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.points import SectionFound
from migratable.check.rule import Rule, loads, refuses
from migratable.check.trouble import Problem
from migratable.profile.loader import Handler
from migratable.verdict import Severity


def check(at: SectionFound) -> Iterator[Problem]:
    """The section's version is not above the handler's."""
    if at.handler is None or at.version <= at.handler.version:
        return
    yield Problem(
        rule=RULE.id,
        summary=f"section {at.idstr!r} has version {at.version}, the destination reads up to "
        f"{at.handler.version}",
        words=(
            (
                "section-version",
                {"version": at.version, "device": at.idstr, "local": at.handler.version},
            ),
        ),
        facts={"version": at.version, "local": at.handler.version},
    )


_TIMER = Handler(idstr="timer", instance_id=0, alias_id=-1, version=2, vmsd=0, opaque=0)
RULE = Rule(
    id="section-version",
    severity=Severity.REFUSES,
    at=(SectionFound,),
    check=check,
    examples=(
        refuses(
            SectionFound(release=(10, 0), idstr="timer", instance_id=0, version=3, handler=_TIMER),
            "version 3",
        ),
        loads(
            SectionFound(release=(10, 0), idstr="timer", instance_id=0, version=2, handler=_TIMER)
        ),
    ),
)
