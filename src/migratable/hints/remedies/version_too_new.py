"""A section or subsection newer than this program reads."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import default_candidates, releases
from migratable.hints.candidate import Candidate, Situation
from migratable.verdict import Finding


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """Properties that give it an older form, else another release."""
    yield from default_candidates.candidates(situation, finding)
    yield from releases.advice(situation)
