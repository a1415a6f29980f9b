"""Try candidates within a time: check each, and continue from those that remove a cause.

Greedy: the first finding that refuses is taken and its candidates are tried in order. One after
which the destination loads, or fewer causes are left, is kept and the search goes on from there;
one that removes the finding and brings another is kept only when a few more are no better. At the
end every step that turns out not to be needed is taken back.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from migratable.check import check, not_started, way_back
from migratable.check.baseline import Baseline
from migratable.check.describe import describe
from migratable.commandline import CommandLine
from migratable.errors import DestinationStartError, MigratableError
from migratable.hints import json_devices, line_edits
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.guest import Guest
from migratable.hints.proposers import candidates
from migratable.hints.solution import (
    START,
    Solution,
    Step,
    applied,
    better,
    cost,
    key,
    left,
    place_of,
)
from migratable.hints.surplus import candidates as less
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from migratable.profile.tables import Handler
from migratable.stream import Stream
from migratable.verdict import Finding, Outcome, Severity, Verdict

NO_WAY_BACK = "no-way-back"
_MOST_STEPS = 16
_LOOKS_FURTHER = 5
"""Candidates that are tried after one that may only have exchanged a cause for another."""


class OutOfTimeError(Exception):
    """The time limit has passed."""


@dataclass(slots=True)
class Search:
    """One search.

    :ivar deadline: ``time.monotonic()`` at which to give up.
    :ivar origin: the source's profile, where it is known.
    :ivar rehearse: ask the real program where no prediction is possible.
    :ivar tried: how many command lines were tried.
    :ivar partly: what removed a cause and brought no other, by the finding's key.
    :ivar refused: lines that were predicted to load and that the program refused.
    :ivar advice: hints that cannot be tried, by the finding's key.
    :ivar doubts: what of the stream could not be read, so that remedies may be missing.
    """

    stream: Stream
    release: str | None
    deadline: float
    progress: Callable[[str], None] | None = None
    origin: Profile | None = None
    rehearse: bool = False
    tried: int = 0
    refused: set[tuple[str, ...]] = field(default_factory=set)
    partly: dict[object, Candidate] = field(default_factory=dict)
    advice: dict[object, list[Candidate]] = field(default_factory=dict)
    doubts: set[str] = field(default_factory=set)
    _known: dict[tuple[str, ...], Situation | None] = field(default_factory=dict)
    _guest: Guest | None = None
    _been: set[tuple[str, ...]] = field(default_factory=set)

    def _of_stream(self, profile: Profile | None) -> Guest:
        """What the stream says of its machine; by the destination's tables where it has no vmdesc.

        The first destination that starts is the one for all: what is asked is of the guest.
        """
        if self._guest is not None:
            return self._guest
        if profile is None:
            return Guest.of(self.stream)
        self._guest = Guest.of(describe(self.stream, profile).stream)
        return self._guest

    @property
    def remaining(self) -> float:
        """Seconds that are left."""
        return self.deadline - time.monotonic()

    def situation(self, line: CommandLine) -> Situation | None:
        """Check a command line; None when that cannot be done.

        :raise OutOfTimeError: when no time is left.
        """
        key = tuple(line.argv)
        if key not in self._known:
            if self.remaining <= 0:
                raise OutOfTimeError
            self._known[key] = self._look(line)
        return self._known[key]

    def known(self, line: CommandLine) -> Situation | None:
        """What was seen of a command line that was tried."""
        return self._known.get(tuple(line.argv))

    def more(self, line: CommandLine) -> tuple[Handler, ...]:
        """What a command line that was tried has and the stream has not."""
        situation = self.known(line)
        profile = None if situation is None else situation.profile
        if profile is None or profile.loader is None:
            return ()
        baseline = Baseline(profile, profile.loader)
        return way_back.more_than(baseline, self.stream.sections, self.origin)

    def advice_for(self, finding: Finding) -> list[Candidate]:
        """Hints that cannot be tried; a rehearsal's finding has those of its rule and device."""
        found = self.advice.get(key(finding))
        if found is not None or finding.facts:
            return found or []
        place = (finding.rule, finding.device)
        return next((one for at, one in self.advice.items() if place_of(at) == place), [])

    def _look(self, line: CommandLine) -> Situation | None:
        self.tried += 1
        found = self._collected(line, self.stream)
        if found is None:
            return None
        verdict, profile = found
        verdict = self._settled(verdict, line)
        return Situation(
            line=line,
            stream=self.stream,
            guest=self._of_stream(profile),
            verdict=verdict,
            profile=profile,
            release=self.release,
            timeout=max(0.5, self.remaining),
            doubts=self.doubts,
            probe=self._probe,
        )

    def _settled(self, verdict: Verdict, line: CommandLine) -> Verdict:
        """Where no prediction is possible, what the real program says."""
        if not self.rehearse or verdict.outcome is not Outcome.UNKNOWN or verdict.refusals:
            return verdict
        from migratable.rehearse import rehearse  # noqa: PLC0415 -- that package is large

        try:
            seen = rehearse(
                self.stream, line, release=self.release, timeout=max(0.5, self.remaining)
            )
        except MigratableError:
            return verdict
        return verdict if seen.outcome is Outcome.UNKNOWN else seen

    def _probe(self, line: CommandLine, stream: Stream) -> tuple[Verdict, Profile | None] | None:
        """Check another stream on another line; for remedies that try many things at once."""
        if self.remaining <= 0:
            raise OutOfTimeError
        self.tried += 1
        return self._collected(line, stream)

    def _collected(
        self, line: CommandLine, stream: Stream
    ) -> tuple[Verdict, Profile | None] | None:
        sizes = {block.id: block.used_length for block in stream.ram_blocks}
        try:
            profile = collect(
                line,
                release=self.release,
                ram_sizes=sizes,
                timeout=max(0.5, self.remaining),
            )
        except DestinationStartError as error:
            return not_started(error.stderr, stream=stream), None
        except MigratableError:
            return None
        return check(stream, profile), profile

    # Solving

    def solve(self, base: Situation) -> Solution | None:
        """Find steps that make the destination load, None when there are none in time."""
        situation = base
        steps: list[Step] = []
        self._been = {tuple(base.line.argv), *self.refused}
        for _ in range(_MOST_STEPS):
            if situation.verdict.outcome is Outcome.LOADS:
                return self.least(base, Solution(steps, situation.line))
            found = self._step(situation)
            if found is None:
                return None
            step, new = found
            if left(new.verdict) < left(situation.verdict):
                self.partly.setdefault(key(step.finding), step.candidate)
            situation = new
            self._been.add(tuple(situation.line.argv))
            steps.append(step)
        return None

    def _step(self, situation: Situation) -> tuple[Step, Situation] | None:
        seen: set[object] = set()
        for finding in situation.verdict.refusals:
            if key(finding) in seen:
                continue
            seen.add(key(finding))
            best = self._best(situation, finding)
            if best is not None:
                return best
        return None

    def _best(self, situation: Situation, finding: Finding) -> tuple[Step, Situation] | None:
        best: tuple[Step, Situation] | None = None
        more = _LOOKS_FURTHER
        try:
            for candidate in self.candidates(situation, finding):
                new = self.attempt(situation, candidate)
                if new is not None and tuple(new.line.argv) in self._been:
                    continue
                if new is not None and better(situation.verdict, new.verdict, finding):
                    if best is None or cost(situation, new) < cost(situation, best[1]):
                        best = Step(finding, candidate), new
                    if new.verdict.outcome is Outcome.LOADS or (
                        finding.rule != START and left(new.verdict) < left(situation.verdict)
                    ):
                        return best
                if best is not None:
                    more -= 1
                    if more <= 0:
                        return best
        except OutOfTimeError:
            if best is None:
                raise
        return best

    def least(self, base: Situation, solution: Solution) -> Solution:
        """The same without steps that are not needed, as far as time allows."""
        steps = solution.steps
        if len(steps) < 2:
            return solution
        try:
            for step in list(steps):
                fewer = [one for one in steps if one is not step]
                line = applied(base.line, fewer)
                if line is None:
                    continue
                new = self.situation(line)
                loads = new is not None and new.verdict.outcome is Outcome.LOADS
                if loads and tuple(line.argv) not in self.refused:
                    steps, solution = fewer, Solution(fewer, line)
        except OutOfTimeError:
            pass
        return solution

    def lean(self, solution: Solution) -> Solution:
        """The same without what the destination then has more than the stream, if it can be.

        :param solution: one that loads, without steps where the command line does.
        """
        try:
            for _ in range(_MOST_STEPS):
                more = self.more(solution.line)
                situation = self.known(solution.line)
                if not more or situation is None:
                    break
                step = self._leaner(situation, more)
                if step is None:
                    break
                found, line = step
                solution = Solution([*solution.steps, found], line)
        except OutOfTimeError:
            pass
        return solution

    def _leaner(
        self, situation: Situation, more: Sequence[Handler]
    ) -> tuple[Step, CommandLine] | None:
        for handler in more:
            finding = Finding(
                rule=NO_WAY_BACK, severity=Severity.WARNS, summary="", device=handler.idstr
            )
            for candidate in itertools.islice(less(situation, handler), _LOOKS_FURTHER):
                new = self.attempt(situation, candidate)
                if new is None or new.verdict.outcome is not Outcome.LOADS:
                    continue
                if len(self.more(new.line)) < len(more):
                    return Step(finding, candidate), new.line
        return None

    def candidates(self, situation: Situation, finding: Finding) -> Iterator[Candidate]:
        """Candidates that can be tried; the others are kept as advice."""
        for candidate in self._proposed(situation, finding):
            if candidate.edit is None:
                kept = self.advice.setdefault(key(finding), [])
                if all(one.action != candidate.action for one in kept):
                    kept.append(candidate)
            else:
                yield candidate

    def _proposed(self, situation: Situation, finding: Finding) -> Iterator[Candidate]:
        for candidate in candidates(situation, finding):
            yield json_devices.typed(candidate, situation.line, situation.command)

    def attempt(self, situation: Situation, candidate: Candidate) -> Situation | None:
        """Try one; None when it changes nothing or cannot be tried.

        :raise OutOfTimeError: when no time is left.
        """
        assert candidate.edit is not None
        try:
            line = candidate.edit(situation.line)
        except MigratableError:
            return None
        if line.argv == situation.line.argv:
            return None
        if self.progress is not None:
            self.progress(candidate.action)
        return self.situation(line)

    def alternatives(self, base: Situation, solution: Solution, most: int) -> Iterator[Solution]:
        """Other remedies for the finding that one step alone solved.

        Not those that change the same members of the line in another way, or more beside them, or
        that have more or fewer devices.
        """
        if len(solution.steps) != 1 or most < 1 or solution.steps[0].candidate.sole:
            return
        finding = solution.steps[0].finding
        shown = [line_edits.differences(base.line, solution.line)]
        misses = 0
        for candidate in self.candidates(base, finding):
            try:
                line = None if candidate.edit is None else candidate.edit(base.line)
            except MigratableError:
                continue
            if line is None or any(line_edits.differences(base.line, line) >= one for one in shown):
                continue
            if len(list(line.devices())) != len(list(solution.line.devices())):
                continue
            new = self.attempt(base, candidate)
            if new is not None and new.verdict.outcome is Outcome.LOADS:
                shown.append(line_edits.differences(base.line, new.line))
                yield Solution([Step(finding, candidate)], new.line)
            else:
                misses += 1
            if len(shown) > most or misses > most:
                return
