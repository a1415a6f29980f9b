"""The destination has no device for a section of the stream.

## What it checks

The name and instance of every section against the destination's registered handlers, their
aliases and the bare names that old streams use.

## Why QEMU refuses

The destination would lose this state, so a section without a handler is fatal. The opposite is
not: a device without a section in the stream keeps its power-on state.

The name of a PCI device's section contains its address: the same device at another address has
another section.

## How to fix it

Start the destination with the device, at the same address, hotplugged devices included. With
several user-mode netdevs, releases before 8.0 know one `slirp` only.

## Source

`migration/savevm.c: find_se, qemu_loadvm_section_start_full`; 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import SectionFound
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.profile.tables import Handler
from migratable.verdict import Severity


def check(event: SectionFound) -> Iterator[Problem]:
    """There is a handler."""
    if event.handler is None:
        near = ", ".join(event.near[:4])
        yield Problem(
            rule=RULE.id,
            summary=f"the destination has no {event.idstr!r} instance {event.instance_id}",
            explanation=f"Of this kind it has: {near}." if near else "It has none of this kind.",
            words=(("unknown-section", {"device": event.idstr, "instance_id": event.instance_id}),),
        )


RULE = Rule(
    id="unknown-section",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Start {moving: the destination|the guest} with every device of {the source}, at the same "
        "addresses, hotplugged ones included."
    ),
    prevent=(
        "{moving: Use one definition of the VM for both sides and keep it up to date after "
        "hotplug; give devices explicit addresses.}"
    ),
    verify="check",
    events=(SectionFound,),
    check=check,
    examples=(
        refuses(
            SectionFound(release=(10, 0), idstr="ics", instance_id=0, version=1, handler=None),
            "no 'ics'",
        ),
        loads(
            SectionFound(
                release=(10, 0),
                idstr="timer",
                instance_id=0,
                version=2,
                handler=Handler(
                    idstr="timer", instance_id=0, alias_id=-1, version=2, vmsd=0, opaque=0
                ),
            )
        ),
    ),
)
