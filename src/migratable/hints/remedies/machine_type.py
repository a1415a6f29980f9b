"""The guest's machine type, when the destination's program has it."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import line_edits
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import MachineTypeFacts
from migratable.verdict import Finding, Side


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """``-machine`` with the received type."""
    if not isinstance(finding.facts, MachineTypeFacts):
        return
    received = finding.facts.received
    if received in situation.parts.machines:
        yield line_edits.machine("type", received)
        return
    yield Candidate(
        action=f"this QEMU has no machine type {received}: a release that has it, or restart the "
        "guest with a machine type that both sides have",
        side=Side.SOURCE,
        needs_guest_restart=True,
    )
