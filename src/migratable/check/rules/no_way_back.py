"""The destination has more than the stream: it loads, and nothing comes back from it.

## What it checks

Sections that the destination always sends (their description has no `needed`) and the stream does
not have, once all of the stream is loaded. Where the source's profile is known, only those that the
source does not have either. A machine under TCG in the place of KVM says nothing of this.

## Why QEMU loads it

The loader asks only for what the stream has. A device that the stream says nothing of stays as it
was started, and the guest finds it with its next look at the bus or its next boot. What this
destination sends later has a section that the source has no device for: `Unknown savevm section`.

## How to fix it

Start the destination without what it has more: the same devices, CPUs and machine switches
(`-machine hpet=off`) as the source; `check` tries which. Or give the source the same at its next
start.

Other reasons why a guest does not come back (a newer section or subsection that the destination
sends) are seen only when its program saves it: `check --and-back`.

## Source

`migration/savevm.c: qemu_loadvm_section_start_full`, `migration/vmstate.c: vmstate_section_needed`;
2.4 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import StreamLoaded
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.profile.model import Profile
from migratable.releases import QemuVersion
from migratable.verdict import Severity


def check(event: StreamLoaded) -> Iterator[Problem]:
    """One finding for all that the destination has more."""
    if event.more:
        yield Problem(
            rule=RULE.id,
            refuses=False,
            summary=f"no way back: the destination has {event.more}, which the stream lacks",
            explanation="What it sends later has a section that the source does not know.",
        )


def _point(more: str) -> StreamLoaded:
    version = QemuVersion.parse("10.0.0")
    return StreamLoaded(release=(10, 0), profile=Profile(version=version, machine="q35"), more=more)


RULE = Rule(
    id="no-way-back",
    severity=Severity.WARNS,
    side=Fault.DESTINATION,
    now="Start the destination without what it has more than the source.",
    prevent="Use one definition of the VM for both sides.",
    verify="check",
    events=(StreamLoaded,),
    check=check,
    examples=(
        refuses(_point("hpet"), "the destination has hpet"),
        loads(_point("")),
    ),
)
