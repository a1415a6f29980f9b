"""Remedies for the causes of a matrix: each is tried on one pair, and named for the others.

The cause that most pairs wait for comes first; what is left of the time goes to the next. A remedy
that was tried on one pair is advice for the others of its cause, and not said to be tried there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from migratable.commandline import CommandLine
from migratable.errors import MigratableError
from migratable.fleet.causes import Key, key_of, refusing
from migratable.fleet.cells import Answer
from migratable.fleet.entities import Progress
from migratable.fleet.matrix import Matrix
from migratable.fleet.resolve import Resolved
from migratable.profile.model import Profile
from migratable.stream import Stream
from migratable.verdict import Finding, Hint, Severity, Verdict

Tried = Callable[..., Verdict]
_FOR_ONE = 8.0
_LEAST = 1.0


def with_hints(
    matrix: Matrix,
    resolved: Resolved,
    *,
    seconds: float,
    tried: Tried | None = None,
    progress: Progress | None = None,
) -> Matrix:
    """Give the matrix with hints at what refuses.

    :param seconds: for everything together; 0 for none.
    :param tried: in the place of :func:`migratable.hints.tried`.
    :raise MigratableError: never; a cause for which nothing could be tried has no hint.
    """
    if tried is None:
        from migratable.hints import tried as search  # noqa: PLC0415 -- starts programs

        tried = search
    deadline = time.monotonic() + seconds
    answers = list(matrix.answers)
    hints: dict[Key, tuple[Hint, ...]] = {}
    causes = matrix.ranking.causes
    for number, cause in enumerate(causes):
        left = deadline - time.monotonic()
        if left < _LEAST:
            break
        if progress is not None:
            progress("remedies", number, len(causes))
        if cause.key in hints:
            continue
        at = min(cause.answers, key=lambda one: len(refusing(_verdict(answers[one]))))
        pair = _pair(matrix, resolved, at)
        if pair is None:
            continue
        stream, line = pair
        try:
            verdict = tried(_verdict(answers[at]), stream, line, budget_seconds=min(left, _FOR_ONE))
        except MigratableError:
            continue
        answers[at] = Answer.of(verdict)
        for finding in verdict.findings:
            if finding.severity is Severity.REFUSES and finding.hints:
                advice = tuple(replace(hint, command=None, verified=None) for hint in finding.hints)
                hints.setdefault(_bare(finding), advice)
    return replace(matrix, answers=tuple(_advised(one, hints) for one in answers))


def _verdict(answer: Answer) -> Verdict:
    assert answer.verdict is not None
    return answer.verdict


def _bare(finding: Finding) -> Key:
    """A finding's cause before any remedy is known."""
    return replace(key_of(finding), remedy="")


def _advised(answer: Answer, hints: dict[Key, tuple[Hint, ...]]) -> Answer:
    if answer.verdict is None or not hints:
        return answer
    findings = tuple(
        replace(one, hints=hints[_bare(one)])
        if one.severity is Severity.REFUSES and not one.hints and _bare(one) in hints
        else one
        for one in answer.verdict.findings
    )
    return replace(answer, verdict=replace(answer.verdict, findings=findings))


def _pair(matrix: Matrix, resolved: Resolved, answer: int) -> tuple[Stream, CommandLine] | None:
    """The first pair with this answer whose destination can be started here."""
    width = len(matrix.hosts)
    start = 0
    while True:
        try:
            cell = matrix.cells.index(answer, start)
        except ValueError:
            return None
        start = cell + 1
        stream = resolved.guests[cell // width].stream
        profile = resolved.destinations[resolved.choice[cell]].profile
        line = None if profile is None else _line(profile)
        if stream is not None and line is not None:
            return stream, line


def _line(profile: Profile) -> CommandLine | None:
    """The destination's command line with a program that may be started for it."""
    from migratable.profile.at_hand import at_hand  # noqa: PLC0415 -- starts programs

    return at_hand(profile).line
