"""The state that a pair's cell shows, and its verdict, which many pairs may share."""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass, replace

from migratable.rehearse.way_back import said
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Basis, Outcome, Severity, Verdict


class State(enum.StrEnum):
    """What a cell shows, gravest first.

    ``NONE``: there is no such pair (a machine type that the other release never had).
    ``FAILED``: the tool could not look; no answer about the guest.
    """

    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"
    ENDANGERS = "endangers"
    WARNS = "warns"
    LATENT = "latent"
    LOADS = "loads"
    NONE = "none"


_BY_SEVERITY = (
    (Severity.ENDANGERS, State.ENDANGERS),
    (Severity.WARNS, State.WARNS),
    (Severity.LATENT, State.LATENT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A verdict that one cell or many share, without facts of the one VM and the one host.

    :ivar verdict: None for :attr:`State.NONE` alone; for FAILED it is ``unknown`` with the reason.
    """

    state: State
    verdict: Verdict | None = None

    @classmethod
    def of(cls, verdict: Verdict) -> Answer:
        """State of a verdict: the outcome, and of what loads the gravest finding."""
        verdict = _plain(verdict)
        if verdict.outcome is not Outcome.LOADS:
            return cls(state=State(str(verdict.outcome)), verdict=verdict)
        there = {finding.severity for finding in verdict.findings}
        for severity, state in _BY_SEVERITY:
            if severity in there:
                return cls(state=state, verdict=verdict)
        return cls(state=State.LOADS, verdict=verdict)

    @classmethod
    def failed(cls, reason: str) -> Answer:
        """Say why there is no answer."""
        verdict = Verdict(
            outcome=Outcome.UNKNOWN,
            basis=Basis.PREDICTED,
            unchecked=(Unchecked(reason, Code.FAILED),),
        )
        return cls(state=State.FAILED, verdict=verdict)

    @property
    def comes_back(self) -> bool | None:
        """Does the source load it again? None: not known, or not asked."""
        back = None if self.verdict is None else self.verdict.back
        if back is None or back.outcome is Outcome.UNKNOWN:
            return None
        return back.outcome is Outcome.LOADS

    @property
    def why_not_back(self) -> str:
        """Why it does not come back, or why that is not known."""
        if self.verdict is None:
            return ""
        back = self.verdict.back
        return self.verdict.no_back if back is None else said(back)


NO_PAIR = Answer(state=State.NONE)


def _plain(verdict: Verdict) -> Verdict:
    """A verdict without facts of one VM and one host, the way back's too."""
    back = None if verdict.back is None else _plain(verdict.back)
    return replace(verdict, source={}, destination={}, back=back)


class Answers:
    """Answers without repetition, in the order in which they were met."""

    def __init__(self) -> None:
        """Begin with none."""
        self._places: dict[Hashable, int] = {}
        self.found: list[Answer] = []

    def add(self, answer: Answer) -> int:
        """Index of *answer*, which is added when it is new."""
        key = _answer_key(answer)
        at = self._places.get(key)
        if at is None:
            at = self._places[key] = len(self.found)
            self.found.append(answer)
        return at


def _answer_key(answer: Answer) -> Hashable:
    """What makes two answers one: what was found, wherever it was."""
    return (answer.state, _verdict_key(answer.verdict))


def _verdict_key(verdict: Verdict | None) -> Hashable:
    if verdict is None:
        return None
    return (
        verdict.outcome,
        verdict.basis,
        verdict.first_refusal,
        verdict.findings,
        verdict.unchecked,
        verdict.stderr,
        verdict.project,
        verdict.no_back,
        _verdict_key(verdict.back),
    )
