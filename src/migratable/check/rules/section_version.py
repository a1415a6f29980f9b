"""A section has a newer version than the destination reads.

## What it checks

The version in a section's header against the version of the destination's handler, before any byte
of the section is read.

Commands between the sections are checked alike: a release knows those up to a number.

## Why QEMU refuses

A newer version has fields that the destination's tables do not have.

## How to fix it

Take a destination at least as new as the source. Machine types do not lower these versions.

A machine type without a version (`isapc`, `x-remote`, `microvm`) also sends the command
`switchover-start` that releases before 10.0 do not know: set
`-global migration.send-switchover-start=off` on the source.

## Source

`migration/savevm.c: qemu_loadvm_section_start_full`; 4.1 to 11.1. Example: pseries from 7.2 to 5.2,
`unsupported version 3 for 'spapr_iommu' v2`.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import CommandMet, SectionFound
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.facts.behaviour import behaves
from migratable.messages import Fault
from migratable.profile.tables import Handler
from migratable.stream.wire_format import CommandKind
from migratable.verdict import Severity


def check(event: SectionFound | CommandMet) -> Iterator[Problem]:
    """The section's version is not above the handler's, the command not above the release's."""
    if isinstance(event, CommandMet):
        yield from _command(event)
        return
    if event.handler is None or event.version <= event.handler.version:
        return
    yield Problem(
        rule=RULE.id,
        summary=f"section {event.idstr!r} has version {event.version}, the destination reads up to "
        f"{event.handler.version}",
        words=(
            (
                "section-version",
                {"version": event.version, "device": event.idstr, "local": event.handler.version},
            ),
        ),
    )


def _command(event: CommandMet) -> Iterator[Problem]:
    last = (
        CommandKind.SWITCHOVER_START
        if behaves(event.release, "command-switchover-start")
        else CommandKind.RECV_BITMAP
    )
    if 0 < event.kind <= last:
        return
    yield Problem(
        rule=RULE.id,
        summary=f"the stream has the command {event.kind:#x}, which QEMU {event.release[0]}."
        f"{event.release[1]} does not know",
        words=(("command-unknown", {"command": event.kind, "length": event.length}),),
    )


_TIMER = Handler(idstr="timer", instance_id=0, alias_id=-1, version=2, vmsd=0, opaque=0)
RULE = Rule(
    id="section-version",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "{loading: |Migrate to a QEMU that is at least as new as {the source's}, or use an older "
        "machine type if that makes {the source} send the older version.}"
    ),
    prevent="Migrate forward only, or test the pair of releases before relying on the way back.",
    verify="check",
    events=(SectionFound, CommandMet),
    check=check,
    examples=(
        refuses(CommandMet(release=(7, 2), kind=0xB, length=0), "command 0xb"),
        loads(CommandMet(release=(10, 0), kind=0xB, length=0)),
        refuses(
            SectionFound(release=(10, 0), idstr="timer", instance_id=0, version=3, handler=_TIMER),
            "version 3",
        ),
        loads(
            SectionFound(release=(10, 0), idstr="timer", instance_id=0, version=2, handler=_TIMER)
        ),
    ),
)
