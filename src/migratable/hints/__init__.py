"""Tried remedies for each refusal, as changes of the destination's command line.

::

    verdict = check(stream, profile)
    verdict = tried(verdict, stream, command_line)      # the same, its findings with hints

A candidate (:mod:`.remedies`, one module per rule) is shown with its command line only if the
destination with that command line loads: predicted from another profile, or rehearsed.
"""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from migratable.commandline import CommandLine, parse
from migratable.errors import MigratableError
from migratable.hints import backends, changes, line_edits
from migratable.hints.advice import advised
from migratable.hints.candidate import Candidate
from migratable.hints.search import NO_WAY_BACK, OutOfTimeError, Search
from migratable.hints.solution import Solution, key
from migratable.stream import Stream
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Basis, Finding, Hint, Outcome, Verdict

if TYPE_CHECKING:
    from migratable.profile.model import Profile
    from migratable.rehearse.resave import Resave
    from migratable.rehearse.way_back import Home

__all__ = ["NO_WAY_BACK", "Kept", "OutOfTimeError", "advised", "tried"]

_LEAST = 0.5
_ATTEMPTS = 3
"""How often another remedy is looked for when the program refuses what was predicted to load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Streams that destinations with a remedy saved after their load, for a source on another host.

    :ivar profile: what is known of the source.
    :ivar saved: by the remedy's command line, as the hint has it.
    """

    profile: Profile | None = None
    saved: dict[str, Resave] = field(default_factory=dict)


_NOBODY = Kept()
_ELSEWHERE = "the source was not tested"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A solution, and what was seen of it.

    :ivar changes: how it gives another machine than the guest's.
    :ivar back: the source's answer to what the destination then sends, or why there is none; None:
        not asked.
    """

    solution: Solution
    basis: Basis
    changes: str
    back: Verdict | str | None = None

    @property
    def comes_back(self) -> bool | None:
        """Does the guest come back? None: not known."""
        if not isinstance(self.back, Verdict) or self.back.outcome is Outcome.UNKNOWN:
            return None
        return self.back.outcome is Outcome.LOADS

    @property
    def order(self) -> int:
        """What comes back first."""
        return [True, None, False].index(self.comes_back)


def tried(
    verdict: Verdict,
    stream: Stream,
    command_line: CommandLine | Sequence[str] | str,
    *,
    release: str | None = None,
    rehearse: bool = True,
    budget_seconds: float = 10.0,
    most: int = 3,
    home: Home | None = None,
    kept: Kept | None = None,
    progress: Callable[[str], None] | None = None,
) -> Verdict:
    """Return the verdict with remedies for the findings that refuse.

    A hint with a command was tried: with it the destination loads. One without (the source's side,
    another release) is advice.

    :param command_line: the destination's, as the user gave it.
    :param release: a lab release in the place of its program.
    :param rehearse: prove each remedy in the real program, as far as time allows; those that it
        refuses are dropped.
    :param budget_seconds: for everything together.
    :param most: hints for a finding.
    :param home: the source; each remedy is then tried for the way back too (*rehearse*).
    :param kept: in its place where the source is another host: it is asked afterwards.
    :param progress: told what is tried now.
    :raise CommandLineError: When the command line cannot be read.
    """
    asked = _asked(verdict)
    if not asked:
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
        origin=(home or kept or _NOBODY).profile,
        rehearse=rehearse,
    )
    solutions = _solutions(search, line, home or kept, rehearse=rehearse, most=most)
    known = {key(refusal) for refusal in verdict.refusals}
    findings = tuple(
        _with_hints(finding, solutions, search, most, known) if finding in asked else finding
        for finding in verdict.findings
    )
    doubts = (Unchecked(text, Code.REMEDIES) for text in sorted(search.doubts))
    unchecked = (*verdict.unchecked, *doubts)
    return advised(replace(verdict, findings=findings, unchecked=unchecked))


def _asked(verdict: Verdict) -> list[Finding]:
    """Findings that want a remedy: what refuses; where it loads, what has no way back."""
    if verdict.outcome is Outcome.REFUSED:
        return verdict.refusals
    if verdict.outcome is Outcome.LOADS:
        return [finding for finding in verdict.findings if finding.rule == NO_WAY_BACK]
    return []


def _solutions(
    search: Search, line: CommandLine, home: Home | Kept | None, *, rehearse: bool, most: int
) -> list[_Found]:
    found: list[_Found] = []
    try:
        base = search.situation(line)
        if base is None:
            return found
        for _ in range(_ATTEMPTS):
            solution = search.solve(base)
            if solution is None:
                break
            others = search.alternatives(base, solution, most - 1)
            for one in map(search.lean, itertools.chain([solution], others)):
                if not one.steps:  # it loads as it is, and nothing makes it less
                    return found
                if any(_is_more(line, one, earlier) for earlier in found):
                    search.refused.add(tuple(one.line.argv))
                    continue
                other = changes.of_solution(search, base, one)
                proved = (
                    _proved(search, one, other, home)
                    if rehearse
                    else _Found(solution=one, basis=Basis.PREDICTED, changes=other)
                )
                if proved is None:
                    search.refused.add(tuple(one.line.argv))
                else:
                    found.append(proved)
            if any(not one.changes for one in found):
                break
            # all give another machine: is there one that does not?
            search.refused.update(tuple(one.solution.line.argv) for one in found)
    except OutOfTimeError:
        pass
    same = [one for one in found if not one.changes]  # the others are no longer of use
    return sorted(same or found, key=lambda one: one.order)


def _is_more(line: CommandLine, solution: Solution, earlier: _Found) -> bool:
    """Does it change what an earlier one does, and more?"""
    before = line_edits.differences(line, earlier.solution.line)
    return line_edits.differences(line, solution.line) > before


def _proved(
    search: Search, solution: Solution, other: str, home: Home | Kept | None
) -> _Found | None:
    """Rehearse, and back where there is a home; None when the real program refuses it."""
    from migratable.rehearse import way_back  # noqa: PLC0415 -- that package imports nothing of us

    asked = None if home is None else "no time was left for it"
    predicted = _Found(solution=solution, basis=Basis.PREDICTED, changes=other, back=asked)
    if search.remaining < _LEAST:
        return predicted
    try:
        seen, again = way_back.there(
            search.stream, solution.line, release=search.release, timeout=search.remaining
        )
    except MigratableError as error:
        return replace(predicted, back=None if home is None else str(error))
    if seen.outcome is Outcome.UNKNOWN:  # a device that cannot be started here, KVM
        why = "; ".join(seen.unchecked[:1])
        return replace(predicted, back=None if home is None else why)
    if seen.outcome is not Outcome.LOADS:
        return None
    loads = replace(predicted, basis=Basis.REHEARSED)
    if isinstance(home, Kept):
        home.saved[shlex.join(solution.line.argv)] = again
        return replace(loads, back=_ELSEWHERE)
    if home is None or search.remaining < _LEAST:
        return loads
    try:
        return replace(loads, back=way_back.back(again, home, timeout=search.remaining))
    except MigratableError as error:
        return replace(loads, back=str(error))


def _with_hints(
    finding: Finding, solutions: list[_Found], search: Search, most: int, known: set[object]
) -> Finding:
    hints = [_hint(finding, solution, known) for solution in solutions]
    if not hints and key(finding) in search.partly:
        step = search.partly[key(finding)]
        hints.append(Hint(action=f"{step.action} (removes this cause; others remain)"))
    advice: list[Candidate] = search.advice_for(finding)
    helped = any(not solution.changes for solution in solutions) or bool(hints and not solutions)
    hints += [candidate.advice() for candidate in advice if not (candidate.last_resort and helped)]
    return replace(finding, hints=tuple(dict.fromkeys(hints))[:most])


def _hint(finding: Finding, found: _Found, known: set[object]) -> Hint:
    """What was done about this finding, and about what was seen only after it."""
    from migratable.rehearse import way_back  # noqa: PLC0415 -- that package imports nothing of us

    solution = found.solution
    own = [step for step in solution.steps if key(step.finding) == key(finding)]
    if own:
        own = [step for step in solution.steps if step in own or key(step.finding) not in known]
    actions = list(dict.fromkeys(step.candidate.action for step in own or solution.steps))
    command = shlex.join(solution.line.argv)
    if backends.DISK in command:
        actions.append(f"with the guest's own image in the place of {backends.DISK}")
    return Hint(
        action="; ".join(actions),
        command=command,
        needs_guest_restart=any(step.candidate.needs_guest_restart for step in solution.steps),
        verified=found.basis,
        changes=found.changes,
        comes_back=found.comes_back,
        way_back="" if found.back is None else way_back.said(found.back),
    )
