"""Steps of a search, and how far a verdict is from loading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migratable.commandline import CommandLine
from migratable.errors import MigratableError
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.start_error import said
from migratable.problem_facts import BlockFacts, PciConfigFacts
from migratable.verdict import Finding, Outcome, Verdict

START = "destination-start"


@dataclass(slots=True)
class Step:
    """A candidate that removed a finding."""

    finding: Finding
    candidate: Candidate


@dataclass(slots=True)
class Solution:
    """Steps after which the destination loads, and the line that they give."""

    steps: list[Step]
    line: CommandLine


def applied(line: CommandLine, steps: Sequence[Step]) -> CommandLine | None:
    """The line with all steps, None when one needs what another did."""
    for step in steps:
        assert step.candidate.edit is not None
        try:
            line = step.candidate.edit(line)
        except (MigratableError, StopIteration):
            return None
    return line


def key(finding: Finding) -> object:
    """What makes a finding the same one on another command line."""
    facts = finding.facts
    block = facts.block if isinstance(facts, BlockFacts) else None
    detail: object = None
    if isinstance(facts, PciConfigFacts):
        detail = facts.offsets[:1]
    elif finding.rule == START:
        detail = said(finding)
    return (
        finding.rule,
        finding.device,
        finding.instance_id,
        finding.subsection,
        finding.field,
        block,
        detail,
    )


def place_of(at: object) -> object:
    """Rule and device of a finding's key."""
    return at[:2] if isinstance(at, tuple) else None


def left(verdict: Verdict) -> float:
    """How far a verdict is from loading: causes that are left; the start's hides all others."""
    if verdict.outcome is Outcome.LOADS:
        return 0.0
    found = {key(refusal) for refusal in verdict.refusals}
    if any(refusal.rule == START for refusal in verdict.refusals):
        return float("inf")
    return float(len(found)) or float("inf")


def cost(situation: Situation, new: Situation) -> float:
    """Causes that are left; a device taken out is as bad as one more."""
    return left(new.verdict) + max(
        0, len(list(situation.line.devices())) - len(list(new.line.devices()))
    )


def better(old: Verdict, new: Verdict, finding: Finding) -> bool:
    """Is the finding gone, and are there not more causes than before?"""
    before, after = old.refusals, new.refusals
    if new.outcome is Outcome.UNKNOWN and not after:
        return False
    if any(key(one) == key(finding) for one in after):
        return False
    if finding.rule == START:
        return True
    if any(one.rule == START for one in after):
        return False
    if finding.rule in {"machine-type", "not-migratable"}:
        return True
    return len(after) <= len(before)
