"""Source and destination have different machine types.

## What it checks

The machine type's name in the stream's configuration section, compared with the destination's
canonical name. QEMU compares only as many characters as the stream has, so `pc-q35-5.2` accepts
`pc-q35-5`.

## Why QEMU refuses

The machine type promises the guest's hardware. With another machine type the rest of the stream has
another meaning.

## How to fix it

Start the destination with the source's machine type, written with its version. Aliases (`q35`,
`pc`, `pseries`, `virt`) mean another machine in every release. If the destination does not have the
machine type, use a release that has it.

## Source

`migration/savevm.c: configuration_post_load`; 4.1 to 11.1. From 11.0 on the line is part of the
closing line.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import ConfigurationRead
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.problem_facts import MachineTypeFacts
from migratable.stream.model import Configuration
from migratable.verdict import Severity


def check(event: ConfigurationRead) -> Iterator[Problem]:
    """The received name is a prefix of the local one, or it is refused."""
    if event.configuration is None or not event.expected:
        return
    received = event.configuration.machine
    if not event.machine.startswith(received):
        yield Problem(
            rule=RULE.id,
            summary=f"the guest's machine type is {received}, the destination's {event.machine}",
            explanation="QEMU compares the names before anything else.",
            words=(("machine-type", {"received": received, "local": event.machine}),),
            facts=MachineTypeFacts(received=received),
        )


RULE = Rule(
    id="machine-type",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Start {moving: the destination|the guest} with the machine type that {the source} has, "
        "written with its version (pc-q35-9.1, not q35 or pc)."
    ),
    prevent="Write versioned machine types into the VM's definition; aliases such as q35, pc, "
    "virt or pseries mean another machine in every release.",
    verify="check",
    events=(ConfigurationRead,),
    check=check,
    examples=(
        refuses(
            ConfigurationRead(
                release=(10, 0),
                configuration=Configuration(machine="pc-q35-9.1"),
                machine="pc-q35-10.0",
            ),
            "pc-q35-9.1",
        ),
        loads(
            ConfigurationRead(
                release=(10, 0),
                configuration=Configuration(machine="pc-q35-10"),
                machine="pc-q35-10.0",
            )
        ),
    ),
)
