"""A section of another length: numbers of CPUs, ports, queues, interrupts."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import default_candidates
from migratable.hints.candidate import Candidate, Situation
from migratable.verdict import Finding


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """What gives a section its length; before it, whether there are footers at all."""
    if not any(section.footer for section in situation.stream.sections):
        yield Candidate(
            action="-global migration.send-section-footer=off",
            edit=lambda line: line.with_global("migration", "send-section-footer", "off"),
        )
    yield from default_candidates.candidates(situation, finding)
