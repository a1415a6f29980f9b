"""The destination has more devices than the stream: the guest loads, but cannot come back.

## What it checks

Sections that the destination always sends (their description has no `needed`) and the stream does
not have, after the whole stream is loaded. If the source's profile is known, only those that the
source does not have either. If TCG stands in for KVM, the rule does not apply.

## Why QEMU loads it

The loader only handles the sections of the stream. A device without a section keeps its power-on
state, and the guest finds it at its next bus scan or boot. This destination later sends a section
for which the source has no device: `Unknown savevm section`.

## How to fix it

Start the destination without the additional devices, with the same devices, CPUs and machine
options (`-machine hpet=off`) as the source; `check` tries these. Or give the source the same
devices at its next start.

Other reasons why a guest does not come back (a newer section or subsection that the destination
sends) show only when its program saves the guest: `check --and-back`.

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
            explanation="The destination will send a section that the source does not know.",
        )


def _point(more: str) -> StreamLoaded:
    version = QemuVersion.parse("10.0.0")
    return StreamLoaded(release=(10, 0), profile=Profile(version=version, machine="q35"), more=more)


RULE = Rule(
    id="no-way-back",
    severity=Severity.WARNS,
    side=Fault.DESTINATION,
    now="Start {the destination} without the devices that {the source} lacks.",
    prevent="{moving: Use one definition of the VM for both sides.}",
    verify="check",
    events=(StreamLoaded,),
    check=check,
    examples=(
        refuses(_point("hpet"), "the destination has hpet"),
        loads(_point("")),
    ),
)
