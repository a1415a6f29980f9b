"""One file a kind of edit; this is the list of them.

The module's docstring is the kind's page. ``PROPOSAL`` says which rules it answers; ``propose``
yields edits that belong together, or why there are none
(:class:`migratable.convert.situation.NoWay`). It may be a guess whether they help: every proposal
is tried. It may be no guess whether they are safe: the class of an edit follows from what the
stream, the destination's tables and the facts in :mod:`migratable.convert.assumed` say.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.convert.proposals import (
    capability_level,
    machine_name,
    newer_version,
    section_layout,
    unknown_section,
    unknown_subsection,
    virtio_queue_size,
)
from migratable.convert.proposals.proposal import Proposal
from migratable.convert.situation import Answer, NoWay, Situation
from migratable.errors import StreamError

PROPOSALS: tuple[Proposal, ...] = (
    virtio_queue_size.PROPOSAL,
    unknown_subsection.PROPOSAL,
    capability_level.PROPOSAL,
    newer_version.PROPOSAL,
    section_layout.PROPOSAL,
    machine_name.PROPOSAL,
    unknown_section.PROPOSAL,
)


def answers(situation: Situation) -> Iterator[Answer]:
    """What all proposals say to a finding, smallest kinds first."""
    for proposal in PROPOSALS:
        if situation.finding.rule in proposal.rules:
            try:
                yield from proposal.propose(situation)
            except StreamError as error:
                yield NoWay(reason=f"the section cannot be decoded: {error.reason}")
