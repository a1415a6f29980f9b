"""The way back on the guest's own host: for the move itself, and for each remedy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from migratable.errors import MigratableError
from migratable.fleet.results import from_json
from migratable.rehearse.way_back import said
from migratable.verdict import Finding, Hint, Outcome, Verdict

Ask = Callable[[str], Mapping[str, Any]]
"""Puts a stream (base64) to the guest's own host: that host's answer."""
MOST = 6
"""Remedies that are put to the source."""
_ORDER = [True, None, False]


def of_the_move(first: Mapping[str, Any], ask: Ask) -> tuple[Mapping[str, Any] | None, str]:
    """The source's answer to the state that the destination holds, or why there is none."""
    if first["verdict"]["verdict"] == "refused":
        return None, ""  # there is nothing that could come back
    if not first["after"]:
        return None, first["stuck"] or first[
            "not_rehearsed"
        ] or "the guest was not rehearsed on the destination"
    try:
        return ask(first["after"]), ""
    except MigratableError as error:
        return None, str(error)


def of_remedies(first: Mapping[str, Any], ask: Ask) -> Mapping[str, Any]:
    """The destination's answer with ``comes_back`` at each remedy that was rehearsed there."""
    answers = {remedy["command"]: _answer(remedy, ask) for remedy in first["remedies"][:MOST]}
    if not answers:
        return first
    verdict = from_json(first["verdict"])
    findings = tuple(_finding(finding, answers) for finding in verdict.findings)
    return {**first, "verdict": replace(verdict, findings=findings).to_json()}


def _answer(remedy: Mapping[str, Any], ask: Ask) -> tuple[bool | None, str]:
    """Does the guest come back from there, and why not?"""
    if remedy["blocked"]:
        return False, f"the guest cannot leave the destination: {remedy['stuck']}"
    if not remedy["after"]:
        return None, remedy["stuck"] or "the destination saved nothing"
    try:
        verdict: Verdict = from_json(ask(remedy["after"])["verdict"])
    except MigratableError as error:
        return None, str(error)
    if verdict.outcome is Outcome.UNKNOWN:
        return None, said(verdict)
    return verdict.outcome is Outcome.LOADS, said(verdict)


def _finding(finding: Finding, answers: Mapping[str, tuple[bool | None, str]]) -> Finding:
    hints = [_hint(hint, answers) for hint in finding.hints]
    tried = [hint for hint in hints if hint.verified is not None]
    advice = [hint for hint in hints if hint.verified is None]
    tried.sort(key=lambda one: _ORDER.index(one.comes_back))
    return replace(finding, hints=(*tried, *advice))


def _hint(hint: Hint, answers: Mapping[str, tuple[bool | None, str]]) -> Hint:
    if hint.command is None or hint.command not in answers or hint.verified is None:
        return hint
    comes_back, why = answers[hint.command]
    return replace(hint, comes_back=comes_back, way_back=why)
