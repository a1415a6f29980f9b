"""Hints that were tried: remedies for each refusal, applied to the destination's command line.

::

    verdict = check(stream, profile)
    verdict = tried(verdict, stream, command_line)      # the same, its findings with hints

A candidate (:mod:`.remedies`, one module a rule) is shown with its command line only when the
destination with that command line loads: predicted by another profile and check, or seen in a
rehearsal.
"""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from migratable.commandline import CommandLine, parse
from migratable.errors import MigratableError
from migratable.hints.candidate import Candidate
from migratable.hints.search import OutOfTimeError, Search, Solution, key, refusals
from migratable.stream import Stream
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Basis, Finding, Hint, Outcome, Severity, Verdict

__all__ = ["OutOfTimeError", "tried"]

_LEAST = 0.5
_ATTEMPTS = 3
"""How often another remedy is looked for when the program refuses what was predicted to load."""


def tried(
    verdict: Verdict,
    stream: Stream,
    command_line: CommandLine | Sequence[str] | str,
    *,
    release: str | None = None,
    rehearse: bool = True,
    budget_seconds: float = 10.0,
    most: int = 3,
    progress: Callable[[str], None] | None = None,
) -> Verdict:
    """Give the verdict with hints for the findings that refuse.

    A hint with a command was tried: with it the destination loads. One without (the source's side,
    another release) is advice.

    :param command_line: the destination's, as the user gave it.
    :param release: a lab release in the place of its program.
    :param rehearse: prove each remedy in the real program, as far as time allows; those that it
        refuses are dropped.
    :param budget_seconds: for everything together.
    :param most: hints for a finding.
    :param progress: told what is tried now.
    :raise CommandLineError: When the command line cannot be read.
    """
    if verdict.outcome is not Outcome.REFUSED:
        return verdict
    line = (
        command_line
        if isinstance(command_line, CommandLine)
        else parse(command_line, need_program=release is None)
    )
    search = Search(
        stream=stream,
        release=release,
        deadline=time.monotonic() + budget_seconds,
        progress=progress,
    )
    solutions = _solutions(search, line, rehearse=rehearse, most=most)
    known = {key(one) for one in refusals(verdict)}
    findings = tuple(
        _with_hints(one, solutions, search, most, known)
        if one.severity is Severity.REFUSES
        else one
        for one in verdict.findings
    )
    doubts = (Unchecked(text, Code.REMEDIES) for text in sorted(search.doubts))
    unchecked = (*verdict.unchecked, *doubts)
    return replace(verdict, findings=findings, unchecked=unchecked)


def _solutions(
    search: Search, line: CommandLine, *, rehearse: bool, most: int
) -> list[tuple[Solution, Basis]]:
    found: list[tuple[Solution, Basis]] = []
    try:
        base = search.situation(line)
        if base is None:
            return found
        for _ in range(_ATTEMPTS):
            solution = search.solve(base)
            if solution is None:
                break
            for one in itertools.chain([solution], search.alternatives(base, solution, most - 1)):
                basis = _proved(search, one) if rehearse else Basis.PREDICTED
                if basis is None:
                    search.refused.add(tuple(one.line.argv))
                else:
                    found.append((one, basis))
            if found:
                break
    except OutOfTimeError:
        pass
    return found


def _proved(search: Search, solution: Solution) -> Basis | None:
    """Rehearse: the remedy's basis, None when the real program refuses it."""
    from migratable.rehearse import rehearse  # noqa: PLC0415 -- that package imports nothing of us

    if search.remaining < _LEAST:
        return Basis.PREDICTED
    try:
        seen = rehearse(
            search.stream, solution.line, release=search.release, timeout=search.remaining
        )
    except MigratableError:
        return Basis.PREDICTED
    if seen.outcome is Outcome.UNKNOWN:  # a device that cannot be started here, KVM
        return Basis.PREDICTED
    return Basis.REHEARSED if seen.outcome is Outcome.LOADS else None


def _with_hints(
    finding: Finding,
    solutions: list[tuple[Solution, Basis]],
    search: Search,
    most: int,
    known: set[object],
) -> Finding:
    hints = [
        _hint(finding, solution, basis, known, search.changes(solution.line))
        for solution, basis in solutions
    ]
    if not hints and key(finding) in search.partly:
        step = search.partly[key(finding)]
        hints.append(Hint(action=f"{step.action} (removes this cause; others remain)"))
    advice: list[Candidate] = search.advice.get(key(finding), [])
    hints += [one.advice() for one in advice]
    return replace(finding, hints=tuple(dict.fromkeys(hints))[:most])


def _hint(
    finding: Finding, solution: Solution, basis: Basis, known: set[object], changes: str
) -> Hint:
    """What was done about this finding, and about what was seen only after it."""
    own = [one for one in solution.steps if key(one.finding) == key(finding)]
    if own:
        own = [one for one in solution.steps if one in own or key(one.finding) not in known]
    actions = list(dict.fromkeys(one.candidate.action for one in own or solution.steps))
    return Hint(
        action="; ".join(actions),
        command=shlex.join(solution.line.argv),
        needs_guest_restart=any(one.candidate.needs_guest_restart for one in solution.steps),
        verified=basis,
        changes=changes,
    )
