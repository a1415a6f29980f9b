"""The edit writes the destination's machine type into the stream.

## What is changed

The machine type's name in the configuration section.

## Why it may not be safe

The machine type promises the guest's hardware. Its versions differ in defaults of devices
and in the processor's features, and a running guest has read some of them. So the edit is *lossy*,
and made only if you accept it by its id. Everything after the name is checked as usual, so
differences in a device's state still refuse.

## Source

`migration/savevm.c: configuration_post_load`; `hw/core/machine.c: hw_compat_…`.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.convert.model import Change, EditClass, Operation, StreamEdit
from migratable.convert.proposals.proposal import Proposal
from migratable.convert.situation import Answer, NoWay, Situation
from migratable.releases import MachineType


def propose(situation: Situation) -> Iterator[Answer]:
    """Rename it, within one family."""
    configuration, local = situation.stream.configuration, situation.destination.machine
    if configuration is None or not local:
        return
    received = configuration.machine
    if MachineType.parse(received).family != MachineType.parse(local).family:
        yield NoWay(
            reason=f"{received} and {local} are machines of different families: no section of the "
            "one means anything to the other"
        )
        return
    old, new = received.encode(), local.encode()
    yield (
        StreamEdit(
            id=f"{PROPOSAL.kind}:{received}",
            kind=PROPOSAL.kind,
            edit_class=EditClass.LOSSY,
            operation=Operation.CONFIGURATION,
            section=None,
            path=("name",),
            changes=(
                Change(
                    old=len(old).to_bytes(4, "big") + old,
                    new=len(new).to_bytes(4, "big") + new,
                    offset=0,
                    name="name",
                ),
            ),
            summary=f"machine type {received} → {local}",
            why="the destination is of the same family",
            risk=f"the guest was started as {received}; what {local} has otherwise (processor "
            "features, defaults of devices, firmware tables) changes under it",
        ),
    )


PROPOSAL = Proposal(kind="machine-name", rules=("machine-type",), propose=propose)
