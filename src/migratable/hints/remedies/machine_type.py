"""The guest's machine type, when the destination's program has it."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import line_edits
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import MachineTypeFacts
from migratable.verdict import Finding


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """``-machine`` with the received type."""
    if not isinstance(finding.facts, MachineTypeFacts):
        return
    received = finding.facts.received
    if received in situation.parts.machines:
        yield line_edits.machine("type", received)
        return
    yield line_edits.no_machine_type(received)
