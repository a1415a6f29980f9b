"""A section or subsection newer than this program reads."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.rehearse.hints import releases, shape
from migratable.rehearse.hints.candidate import Candidate, Situation
from migratable.verdict import Finding


def candidates(at: Situation, finding: Finding) -> Iterator[Candidate]:
    """Properties that give it an older form, else another release."""
    yield from shape.candidates(at, finding)
    yield from releases.advice(at)
