"""A device at the destination that QEMU does not migrate: without it."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import devices, pci_placement
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.guest import place
from migratable.verdict import Finding, Side


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """Take it out of the line; if the guest has one, the stream would not be there."""
    idstr = finding.device or ""
    yield from devices.asked(situation, finding)
    name = idstr.rpartition("/")[2]
    where = place(idstr)
    path = "" if where is None else ":".join((where[0], *where[1]))
    node = situation.tree.pci().get(path)
    options = []
    if node is not None:
        inner = [node, *node.below()]
        options = [
            situation.tree.option(situation.line, one, situation.parts.aliases)
            for one in reversed(inner)
        ]
    drivers = set(situation.parts.drivers(name))
    options += [one for one, driver, _ in situation.line.devices() if driver in drivers]
    for option in dict.fromkeys(option for option in options if option is not None):
        yield devices.surplus(situation, option)
    yield from pci_placement.moves(situation)
    yield Candidate(
        action=f"unplug {name} from the guest at the source before it is moved", side=Side.SOURCE
    )
