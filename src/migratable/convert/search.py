"""Find the smallest edits after which a destination loads a stream, offline.

Check, take what refuses, ask the proposals, carry out the smallest that helps, check again; until
it loads or nothing is left. Nothing is tried that no proposal can give a reason for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from migratable.convert.apply import apply_to_stream
from migratable.convert.model import EditClass, Plan, StreamEdit, not_accepted
from migratable.convert.proposals import answers
from migratable.convert.situation import Destination, NoWay, Situation
from migratable.errors import ConvertError, StreamError
from migratable.stream import Stream
from migratable.verdict import Finding, Outcome, Verdict

_MOST_ROUNDS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A refusal that no edit answers.

    :ivar reasons: what each proposal says; empty when none is for this rule.
    """

    finding: Finding
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the search came to.

    :ivar stream: with all edits carried out.
    :ivar before: the verdict on the stream as it was.
    :ivar verdict: the verdict on :attr:`stream`.
    :ivar stuck: what is left, one for each finding; empty when it loads or is unknown.
    :ivar needed: lossy edits that nobody accepted: without them it does not load.
    """

    plan: Plan
    stream: Stream
    before: Verdict
    verdict: Verdict
    stuck: tuple[Stuck, ...] = ()
    needed: tuple[StreamEdit, ...] = ()

    @property
    def loads(self) -> bool:
        """Whether it is predicted to load by what is allowed."""
        return self.verdict.outcome is Outcome.LOADS and not self.needed


@dataclass(slots=True)
class _Search:
    destination: Destination
    accept: frozenset[str]
    progress: Callable[[str], None]
    edits: list[StreamEdit] = field(default_factory=list)

    def step(self, stream: Stream, verdict: Verdict) -> tuple[Stream, Verdict] | list[Stuck]:
        """Answer the refusals of one verdict, or say why none can be answered."""
        found = verdict.refusals
        if len(found) > 1 and (quick := self._all_at_once(stream, found)) is not None:
            return quick
        stuck: list[Stuck] = []
        changed = stream
        done: list[StreamEdit] = []
        for finding in found:
            edits, reasons = self._answer(changed, finding)
            if edits is None:
                stuck.append(Stuck(finding=finding, reasons=reasons))
                continue
            changed = apply_to_stream(edits, changed)
            done += edits
        if not done:
            return stuck
        after = self.destination.judge(changed)
        if stuck and after.outcome is not Outcome.LOADS and _firsts(after) == _firsts(verdict):
            return stuck
        self.edits += done
        return changed, after

    def _all_at_once(self, stream: Stream, found: list[Finding]) -> tuple[Stream, Verdict] | None:
        """Carry out the smallest answer to each finding; None unless all of them help."""
        done: list[StreamEdit] = []
        for finding in found:
            candidates, _ = self._candidates(stream, finding)
            if not candidates:
                return None
            edits = _for_rule(candidates[0], finding)
            try:
                stream = apply_to_stream(edits, stream)
            except (ConvertError, StreamError):
                return None
            done += edits
        self.progress(f"{len(done)} edits")
        after = self.destination.judge(stream)
        if {key(one) for one in found} & {key(refusal) for refusal in after.refusals}:
            return None
        self.edits += done
        return stream, after

    def _candidates(
        self, stream: Stream, finding: Finding
    ) -> tuple[list[tuple[StreamEdit, ...]], list[str]]:
        """Edits that are proposed, smallest first; and why there are no others."""
        situation = Situation(stream=stream, finding=finding, destination=self.destination)
        reasons: list[str] = []
        candidates: list[tuple[StreamEdit, ...]] = []
        for answer in answers(situation):
            if isinstance(answer, NoWay):
                reasons.append(answer.reason)
            elif answer:
                candidates.append(answer)
        return sorted(candidates, key=self._size), reasons

    def _answer(
        self, stream: Stream, finding: Finding
    ) -> tuple[tuple[StreamEdit, ...] | None, tuple[str, ...]]:
        """The smallest edits that remove a finding, else the reasons why there are none."""
        candidates, reasons = self._candidates(stream, finding)
        for edits in candidates:
            self.progress(edits[0].summary or edits[0].id)
            try:
                after = self.destination.judge(apply_to_stream(edits, stream))
            except (ConvertError, StreamError) as error:
                reasons.append(f"{edits[0].id}: {error}")
                continue
            if key(finding) not in {key(refusal) for refusal in after.refusals}:
                return _for_rule(edits, finding), ()
            reasons.append(f"{edits[0].summary}: the destination still refuses it")
        return None, tuple(reasons)

    def _size(self, edits: tuple[StreamEdit, ...]) -> tuple[int, bool, int]:
        """Smallest class first, then what the user has accepted, then the fewest bytes."""
        lossy = [edit for edit in edits if edit.edit_class is EditClass.LOSSY]
        accepted = all(edit.id in self.accept for edit in lossy)
        size = sum(max(len(c.old), len(c.new)) for edit in edits for c in edit.changes)
        return max(edit.edit_class.rank for edit in edits), not accepted, size


def search(
    stream: Stream,
    destination: Destination,
    *,
    accept: Iterable[str] = (),
    source: str = "",
    progress: Callable[[str], None] = lambda _: None,
) -> Found:
    """Find the smallest edits after which *destination* loads *stream*.

    Lossy edits take part in the search, so that the user learns of all that are needed; without
    being accepted they make no result that loads (:attr:`Found.needed`).

    :param accept: ids of lossy edits.
    :param source: name of the source for the plan.
    """
    one = _Search(destination, frozenset(accept), progress)
    before = verdict = destination.judge(stream)
    stuck: list[Stuck] = []
    for _ in range(_MOST_ROUNDS):
        if verdict.outcome is Outcome.LOADS or not verdict.refusals:
            break
        after = one.step(stream, verdict)
        if isinstance(after, list):
            stuck = after
            break
        stream, verdict = after
    edits = tuple(one.edits)
    return Found(
        plan=Plan(edits=edits, source=source, destination=destination.name),
        stream=stream,
        before=before,
        verdict=verdict,
        stuck=tuple(stuck),
        needed=not_accepted(edits, accept),
    )


def _for_rule(edits: tuple[StreamEdit, ...], finding: Finding) -> tuple[StreamEdit, ...]:
    return tuple(replace(edit, rule=finding.rule) for edit in edits)


def key(finding: Finding) -> tuple[object, ...]:
    """What makes two findings the same refusal."""
    return (
        finding.rule,
        finding.device,
        finding.instance_id,
        finding.subsection,
        finding.field,
        finding.summary,
    )


def _firsts(verdict: Verdict) -> list[tuple[object, ...]]:
    return [key(refusal) for refusal in verdict.refusals]
