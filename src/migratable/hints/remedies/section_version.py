"""A section newer than this program reads."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import devices, releases
from migratable.hints.candidate import Candidate, Situation
from migratable.verdict import Finding


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """Compat properties that the line sets, else another release."""
    yield from devices.dropped(situation, finding.device or "")
    yield from releases.advice(situation)
