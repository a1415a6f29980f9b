"""A device at the destination that QEMU does not migrate: without it."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import devices, pci_placement
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.guest import place
from migratable.verdict import Finding, Side


def candidates(at: Situation, finding: Finding) -> Iterator[Candidate]:
    """Take it out of the line; if the guest has one, the stream would not be there."""
    idstr = finding.device or ""
    yield from devices.asked(at, finding)
    name = idstr.rpartition("/")[2]
    where = place(idstr)
    path = "" if where is None else ":".join((where[0], *where[1]))
    node = at.tree.pci().get(path)
    options = []
    if node is not None:
        inner = [node, *node.below()]
        options = [at.tree.option(at.line, one, at.parts.aliases) for one in reversed(inner)]
    drivers = set(at.parts.drivers(name))
    options += [one for one, driver, _ in at.line.devices() if driver in drivers]
    for option in dict.fromkeys(one for one in options if one is not None):
        yield devices.surplus(at, option)
    yield from pci_placement.moves(at)
    yield Candidate(
        action=f"unplug {name} from the guest at the source before it is moved", side=Side.SOURCE
    )
