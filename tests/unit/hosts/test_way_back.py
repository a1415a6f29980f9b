"""The source's answers to remedies that were rehearsed on the destination."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from migratable.errors import HostError
from migratable.fleet.results import from_json
from migratable.hosts.way_back import of_remedies
from migratable.verdict import Basis, Finding, Hint, Outcome, Refusal, Severity, Verdict


def _first(*commands: str, **remedy: Any) -> dict[str, Any]:
    hints = tuple(Hint(action=one, command=one, verified=Basis.REHEARSED) for one in commands)
    hints += (Hint(action="advice"), Hint(action="c", command="checked", verified=Basis.PREDICTED))
    finding = Finding(rule="r", severity=Severity.REFUSES, summary="s", hints=hints)
    verdict = Verdict(outcome=Outcome.REFUSED, basis=Basis.REHEARSED, findings=(finding,))
    given = {"stuck": "", "blocked": False, **remedy}
    return {
        "verdict": verdict.to_json(),
        "remedies": [{"command": one, "after": one, **given} for one in commands],
    }


def _source(stream: str) -> Mapping[str, Any]:
    """Takes what is called good, fails for what is called gone."""
    if stream == "gone":
        raise HostError("node-a: the connection ended")
    unchecked: tuple[str, ...] = ()
    refusal: Refusal | None = None
    if stream == "odd":
        outcome, unchecked = Outcome.UNKNOWN, ("KVM",)
    elif stream == "good":
        outcome = Outcome.LOADS
    else:
        outcome = Outcome.REFUSED
        refusal = Refusal(rule="unknown-section", message="Unknown section 'hpet'")
    verdict = Verdict(
        outcome=outcome, basis=Basis.REHEARSED, first_refusal=refusal, unchecked=unchecked
    )
    return {"verdict": verdict.to_json()}


def _hints(first: Mapping[str, Any]) -> list[tuple[str, bool | None, str]]:
    (finding,) = from_json(of_remedies(first, _source)["verdict"]).findings
    return [(one.action, one.comes_back, one.way_back) for one in finding.hints]


def test_what_comes_back_is_first_and_advice_last() -> None:
    assert _hints(_first("bad", "odd", "gone", "good")) == [
        ("good", True, ""),
        ("odd", None, "KVM"),
        ("gone", None, "node-a: the connection ended"),
        ("c", None, ""),
        ("bad", False, "Unknown section 'hpet'"),
        ("advice", None, ""),
    ]


@pytest.mark.parametrize(
    ("remedy", "answer"),
    [
        (
            {"after": None, "stuck": "State blocked by x", "blocked": True},
            (False, "the guest cannot leave the destination: State blocked by x"),
        ),
        ({"after": None, "stuck": "no space"}, (None, "no space")),
        ({"after": None}, (None, "the destination saved nothing")),
    ],
)
def test_what_was_not_saved_is_not_asked(
    remedy: dict[str, Any], answer: tuple[bool | None, str]
) -> None:
    assert ("good", *answer) in _hints(_first("good", **remedy))


def test_without_remedies_nothing_is_changed() -> None:
    first = _first()
    assert of_remedies(first, _source) is first
