"""A subsection that this program does not know."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import cpus, devices, releases
from migratable.hints.candidate import Candidate, Situation
from migratable.verdict import Finding


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """Compat properties that the line sets, else another release."""
    yield from cpus.without_features(situation) if (finding.device or "") == "cpu" else ()
    yield from devices.dropped(situation, finding.device or "")
    yield from releases.advice(situation)
