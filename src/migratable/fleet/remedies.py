"""Remedies for the causes of a matrix: each is tried on one pair, and advice for the others.

The cause that most pairs wait for comes first; what is left of the time goes to the next, and then
to answers that share their causes with one that was tried. A remedy that was tried on one pair is
advice for the others of its cause, and not said to be tried there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from migratable.commandline import CommandLine
from migratable.errors import MigratableError
from migratable.fleet.causes import Key, key_of, refusing
from migratable.fleet.cells import Answer
from migratable.fleet.entities import Guest, Progress
from migratable.fleet.matrix import Matrix
from migratable.fleet.resolve import Resolved
from migratable.fleet.way_back import Homes
from migratable.profile.model import Profile
from migratable.rehearse.way_back import Home
from migratable.stream import Stream
from migratable.verdict import Finding, Hint, Outcome, Severity, Verdict

Tried = Callable[..., Verdict]
_FOR_ONE = 8.0
_LEAST = 1.0


def with_hints(
    matrix: Matrix,
    resolved: Resolved,
    *,
    seconds: float,
    tried: Tried | None = None,
    homes: Homes | None = None,
    progress: Progress | None = None,
) -> Matrix:
    """Give the matrix with hints at what refuses.

    :param seconds: for everything together; 0 for none.
    :param tried: in the place of :func:`migratable.hints.tried`.
    :param homes: sources of the VMs; remedies are then tried for the way back too.
    :raise MigratableError: never; a cause for which nothing could be tried has no hint.
    """
    if tried is None:
        from migratable.hints import tried as search  # noqa: PLC0415 -- starts programs

        tried = search
    deadline = time.monotonic() + seconds
    answers = list(matrix.answers)
    hints: dict[Key, tuple[Hint, ...]] = {}
    order = list(_in_order(matrix))
    looked: set[int] = set()
    for number, (at, key) in enumerate(order):
        left = deadline - time.monotonic()
        if left < _LEAST:
            break
        if progress is not None:
            progress("remedies", number, len(order))
        if at in looked or (key is not None and key in hints):
            continue
        looked.add(at)
        pair = _pair(matrix, resolved, at)
        if pair is None:
            continue
        guest, stream, line, release = pair
        home = None if homes is None else homes.of(guest)
        try:
            verdict = tried(
                _verdict(answers[at]),
                stream,
                line,
                release=release,
                budget_seconds=min(left, _FOR_ONE),
                home=home if isinstance(home, Home) else None,
            )
        except MigratableError:
            continue
        answers[at] = Answer.of(verdict)
        for finding in verdict.findings:
            if finding.severity is Severity.REFUSES and finding.hints:
                hints.setdefault(_bare(finding), tuple(map(_elsewhere, finding.hints)))
    return replace(matrix, answers=tuple(_advised(answer, hints) for answer in answers))


def _in_order(matrix: Matrix) -> Iterator[tuple[int, Key | None]]:
    """Answers to be tried: one for each cause, then all others; the cause that is asked for."""
    for cause in matrix.ranking.causes:
        at = min(cause.answers, key=lambda answer: len(refusing(_verdict(matrix.answers[answer]))))
        yield at, cause.key
    for at, _ in matrix.pairs.most_common():
        verdict = matrix.answers[at].verdict
        if verdict is not None and verdict.outcome is Outcome.REFUSED:
            yield at, None


def _elsewhere(hint: Hint) -> Hint:
    """A remedy for another pair than the one that it was tried on."""
    return replace(hint, command=None, verified=None, comes_back=None, way_back="")


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
        replace(finding, hints=hints[_bare(finding)])
        if finding.severity is Severity.REFUSES and not finding.hints and _bare(finding) in hints
        else finding
        for finding in answer.verdict.findings
    )
    return replace(answer, verdict=replace(answer.verdict, findings=findings))


def _pair(
    matrix: Matrix, resolved: Resolved, answer: int
) -> tuple[Guest, Stream, CommandLine, str | None] | None:
    """The first pair with this answer whose destination can be started here, and by which release.

    Also one that was started and ended at once: its remedy is another command line.
    """
    width = len(matrix.hosts)
    start = 0
    while True:
        try:
            cell = matrix.cells.index(answer, start)
        except ValueError:
            return None
        start = cell + 1
        guest = resolved.guests[cell // width]
        stream = guest.stream
        destination = resolved.destinations[resolved.choice[cell]]
        profile = destination.profile
        line = destination.line if profile is None else _line(profile)
        if stream is not None and line is not None:
            return guest, stream, line, destination.release


def _line(profile: Profile) -> CommandLine | None:
    """The destination's command line with a program that may be started for it."""
    from migratable.profile.at_hand import at_hand  # noqa: PLC0415 -- starts programs

    return at_hand(profile).line
