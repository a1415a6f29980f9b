"""From a problem to a finding: its severity, and the lines that it alone would print."""

from __future__ import annotations

from migratable.check import stderr
from migratable.check.problem import MessageRef, Problem, RefusedError
from migratable.check.registry import rules
from migratable.verdict import Finding, Severity


def finding_of(
    problem: Problem,
    release: tuple[int, int],
    device: str | None,
    instance_id: int | None,
    links: tuple[MessageRef, ...] = (),
) -> Finding:
    """Make a finding of a problem, with the lines that it alone would give.

    :param links: what the loader's main loop adds to a refusal.
    """
    if problem.refuses:
        return finding_of_error(RefusedError(problem, release), links, device, instance_id)
    severity = Severity(problem.severity) if problem.severity else rules()[problem.rule].severity
    lines = tuple(stderr.said(words, release) for words in problem.words)
    return _finding(problem, severity, lines, device, instance_id)


def finding_of_error(
    refused: RefusedError,
    links: tuple[MessageRef, ...],
    device: str | None,
    instance_id: int | None,
) -> Finding:
    """Make a finding of what stops the loader."""
    lines = tuple(stderr.of_refusal(refused, links, refused.release))
    return _finding(refused.problem, Severity.REFUSES, lines, device, instance_id)


def _finding(
    problem: Problem,
    severity: Severity,
    lines: tuple[str, ...],
    device: str | None,
    instance_id: int | None,
) -> Finding:
    return Finding(
        rule=problem.rule,
        severity=severity,
        summary=problem.summary,
        explanation=problem.explanation,
        device=device if device is not None else problem.device,
        instance_id=instance_id,
        subsection=problem.subsection,
        field=problem.field,
        stderr=lines,
        facts=problem.facts,
        aborts=problem.aborts,
    )
