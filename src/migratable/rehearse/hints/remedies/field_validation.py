"""Values or lengths that the destination does not take: numbers of CPUs, ports, properties."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.rehearse.hints import shape
from migratable.rehearse.hints.candidate import Candidate, Situation
from migratable.verdict import Finding


def candidates(at: Situation, finding: Finding) -> Iterator[Candidate]:
    """What gives a section its length."""
    yield from shape.candidates(at, finding)
