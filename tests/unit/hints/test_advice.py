"""What is said where nothing was tried."""

from __future__ import annotations

import pytest

from migratable.check import not_started
from migratable.check.rules import RULES
from migratable.explain.advice import of_rule
from migratable.hints import advised
from migratable.messages.setting import said
from migratable.verdict import Basis, Finding, Hint, Outcome, Severity, Side, Verdict


def verdict(*findings: Finding) -> Verdict:
    return Verdict(outcome=Outcome.REFUSED, basis=Basis.PREDICTED, findings=findings)


def refuses(rule: str, *hints: Hint) -> Finding:
    return Finding(rule=rule, severity=Severity.REFUSES, summary="", hints=hints)


@pytest.mark.parametrize("rule", [one.id for one in RULES if one.severity is Severity.REFUSES])
def test_every_rule_that_refuses_has_a_remedy(rule: str) -> None:
    (finding,) = advised(verdict(refuses(rule))).findings
    (hint,) = finding.hints
    assert hint.verified is None
    assert hint.command is None
    assert len(hint.action) > 20


def test_it_is_the_text_that_explain_has() -> None:
    (finding,) = advised(verdict(refuses("unknown-section"))).findings
    assert finding.hints[0].action + "." == said(of_rule("unknown-section").now)
    (finding,) = advised(verdict(refuses("not-migratable"))).findings
    assert finding.hints[0].side is Side.SOURCE


def test_a_program_that_does_not_start_has_the_remedy_of_its_words() -> None:
    found = advised(not_started(["-soundhw: invalid option"]))
    (hint,) = found.findings[0].hints
    assert hint.action.startswith("This release does not have the option -soundhw")
    assert "-audio" in hint.action


def test_what_was_tried_stays_alone() -> None:
    tried = Hint(action="-m 96M", verified=Basis.REHEARSED)
    (finding,) = advised(verdict(refuses("ram-block-size", tried))).findings
    assert finding.hints == (tried,)


def test_what_does_not_refuse_has_none() -> None:
    warns = Finding(rule="unknown-section", severity=Severity.WARNS, summary="")
    assert advised(verdict(warns)).findings == (warns,)
