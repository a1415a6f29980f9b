"""Another processor: the CPU model with the guest's, or a compatibility mode."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import cpus, line_edits, machine_options
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import PvrFacts, RegistersFacts
from migratable.verdict import Finding, Side


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """``-cpu`` with the guest's processor."""
    yield from machine_options.other_cpus(situation)  # L2CTLR of Arm tells their number
    yield from cpus.models(situation)
    yield from cpus.families(situation)
    if situation.line.get("machine", "max-cpu-compat") is not None:
        yield line_edits.machine("max-cpu-compat", None)
    if isinstance(finding.facts, RegistersFacts):
        yield Candidate(
            action="a destination with the source's QEMU release and CPU model; under TCG nearly "
            "every release gives an Arm processor other registers"
        )
    if isinstance(finding.facts, PvrFacts):
        yield Candidate(
            action="start the guest with max-cpu-compat= of a mode that both processors have; then "
            "it moves between versions of the processor",
            side=Side.SOURCE,
            needs_guest_restart=True,
        )
