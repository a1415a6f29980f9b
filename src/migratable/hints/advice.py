"""The remedy of the rule's page, for causes where nothing could be tried."""

from __future__ import annotations

from dataclasses import replace

from migratable.explain.advice import of_rule
from migratable.messages import setting
from migratable.messages.catalogue import Fault
from migratable.problem_facts import StartFacts
from migratable.qemu.start_errors import remedy
from migratable.verdict import Finding, Hint, Severity, Side, Verdict


def advised(verdict: Verdict) -> Verdict:
    """Give each refusing finding without a remedy the remedy of its rule."""
    findings = tuple(
        replace(finding, hints=general(finding))
        if finding.severity is Severity.REFUSES and not finding.hints
        else finding
        for finding in verdict.findings
    )
    return replace(verdict, findings=findings)


def general(finding: Finding) -> tuple[Hint, ...]:
    """The remedy of a rule, not tried; of a program that does not start, by what it said."""
    if isinstance(finding.facts, StartFacts) or finding.rule == "destination-start":
        said = finding.facts.said if isinstance(finding.facts, StartFacts) else ""
        text = remedy([said] if said else list(finding.stderr))
        if text:
            return (Hint(action=text.rstrip(".")),)
    common = of_rule(finding.rule)
    now = setting.said(common.now)
    if not now:
        return ()
    side = Side.SOURCE if common.side is Fault.SOURCE else Side.DESTINATION
    return (Hint(action=now.rstrip("."), side=side),)
