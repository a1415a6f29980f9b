"""The causes of refusals in a matrix: pairs that each refuses, and pairs that a fix would load.

A cause is what one remedy takes away: a rule at one kind of device, with the subsection or field it
is about and the remedy that is shown first. Its effect is found by taking its findings out of every
verdict and looking whether anything that refuses is left.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from migratable.verdict import Finding, Hint, Outcome, Severity, Verdict

if TYPE_CHECKING:
    from migratable.fleet.cells import Answer

_PLACE = re.compile(r"^(?:/[^/]+/|[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/)+")
_MOST_STEPS = 50
NOT_STARTED = "destination-start"
"""The rule behind which are as many causes as there are words: its summary tells them apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What makes findings of several VMs one cause."""

    rule: str
    device: str
    subsection: str
    field: str
    remedy: str


def device_kind(idstr: str | None) -> str:
    """The kind of a device: ``0000:00:01.0/virtio-net`` is a ``virtio-net``."""
    return _PLACE.sub("", idstr or "")


def key_of(finding: Finding) -> Key:
    """Key of the cause of a finding."""
    hint = finding.hints[0] if finding.hints else None
    return Key(
        rule=finding.rule,
        device=device_kind(finding.device),
        subsection=finding.subsection or "",
        field=finding.field or (finding.summary if finding.rule == NOT_STARTED else ""),
        remedy="" if hint is None else hint.action,
    )


def refusing(verdict: Verdict) -> dict[Key, Finding]:
    """Causes for which a verdict refuses, with the first finding of each."""
    found: dict[Key, Finding] = {}
    for finding in verdict.findings:
        if finding.severity is Severity.REFUSES:
            found.setdefault(key_of(finding), finding)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """A cause and what it does.

    :ivar pairs: pairs that it refuses, alone or with others.
    :ivar alone: pairs that load once it is gone: nothing else refuses them.
    :ivar vms: VMs of :attr:`pairs`.
    :ivar hosts: hosts of :attr:`pairs`.
    :ivar answers: indices of the answers that it is in.
    :ivar tried: was the remedy tried, on one of the pairs at least?
    """

    key: Key
    example: Finding
    pairs: int
    alone: int
    vms: int
    hosts: int
    answers: tuple[int, ...]
    tried: bool = False

    @property
    def hint(self) -> Hint | None:
        """The remedy, when there is one."""
        return self.example.hints[0] if self.example.hints else None

    def to_json(self) -> dict[str, Any]:
        """One object for a program."""
        hint = self.hint
        return {
            "rule": self.key.rule,
            "device": self.key.device or None,
            "subsection": self.key.subsection or None,
            "field": self.example.field,
            "summary": self.example.summary,
            "hint": None if hint is None else hint.to_json(),
            "pairs": self.pairs,
            "loads_without": self.alone,
            "vms": self.vms,
            "hosts": self.hosts,
            "answers": list(self.answers),
            "tried": self.tried,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One fix of a plan.

    :ivar cause: index into :attr:`Ranking.causes`.
    :ivar more: pairs that load after it and did not before it.
    :ivar loads: pairs that load then, with those that always did.
    """

    cause: int
    more: int
    loads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """All causes, the one whose removal mends most first; and in which order to remove them.

    :ivar tried_plan: the same of the causes with a remedy that was tried.
    :ivar unmended: refused pairs that do not load with all of those: they have no tried remedy.
    :ivar mended: refused pairs that load with a remedy that was tried on them themselves.
    :ivar back: of :attr:`mended`, those that come back; None: the way back was not tried.
    """

    causes: tuple[Cause, ...]
    plan: tuple[Step, ...]
    refused: int
    loading: int
    unnamed: int = 0
    tried_plan: tuple[Step, ...] = ()
    unmended: int = 0
    mended: int = 0
    back: int | None = None
    by_key: Mapping[Key, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """One object for a program."""
        return {
            "refused_pairs": self.refused,
            "loading_pairs": self.loading,
            "without_a_named_cause": self.unnamed,
            "ranked": [cause.to_json() for cause in self.causes],
            "plan": _steps(self.plan),
            "tried_plan": _steps(self.tried_plan),
            "without_a_tried_remedy": self.unmended,
            "with_a_remedy_tried_on_them": self.mended,
            **({} if self.back is None else {"of_these_come_back": self.back}),
        }

    def of(self, verdict: Verdict | None) -> Iterator[int]:
        """Indices of the causes for which a verdict refuses."""
        if verdict is not None and verdict.outcome is Outcome.REFUSED:
            for key in refusing(verdict):
                if key in self.by_key:
                    yield self.by_key[key]


def _steps(plan: Iterable[Step]) -> list[dict[str, int]]:
    return [
        {"cause": step.cause, "more_pairs_load": step.more, "pairs_that_load": step.loads}
        for step in plan
    ]


class Answers(Protocol):
    """What is counted of a matrix (:class:`migratable.fleet.matrix.Matrix`)."""

    @property
    def answers(self) -> Sequence[Answer]:
        """All answers, each once."""

    @property
    def pairs(self) -> Mapping[int, int]:
        """How many pairs each answer has, by its index."""

    @property
    def and_back(self) -> bool:
        """Was each pair that loads tried for the way back?"""

    @property
    def vms(self) -> Sized:
        """The rows."""

    def row(self, vm: int) -> array[int]:
        """Indices of the answers of a VM's pairs."""


def rank(matrix: Answers) -> Ranking:
    """Rank the causes of a matrix."""
    sets: dict[int, frozenset[Key]] = {}
    examples: dict[Key, Finding] = {}
    for at, answer in enumerate(matrix.answers):
        if answer.verdict is None or answer.verdict.outcome is not Outcome.REFUSED:
            continue
        found = refusing(answer.verdict)
        sets[at] = frozenset(found)
        for key, finding in found.items():
            examples.setdefault(key, finding)
            if _tried(finding) and not _tried(examples[key]):
                examples[key] = finding
    pairs = matrix.pairs
    touched = _touched(matrix, set(sets))
    by_cause: dict[Key, list[int]] = defaultdict(list)
    for at, keys in sets.items():
        for key in keys:
            by_cause[key].append(at)
    causes = [
        Cause(
            key=key,
            example=examples[key],
            pairs=sum(pairs[answer] for answer in answers),
            alone=sum(pairs[answer] for answer in answers if _loads_without(sets[answer], {key})),
            vms=len(set().union(*(touched[answer][0] for answer in answers))),
            hosts=len(set().union(*(touched[answer][1] for answer in answers))),
            answers=tuple(answers),
            tried=_tried(examples[key]),
        )
        for key, answers in by_cause.items()
    ]
    causes.sort(key=lambda cause: (-cause.alone, -cause.pairs, cause.key.rule, cause.key.device))
    numbers = {cause.key: index for index, cause in enumerate(causes)}
    loading = sum(
        number
        for at, number in pairs.items()
        if (found_verdict := matrix.answers[at].verdict) is not None
        and found_verdict.outcome is Outcome.LOADS
    )
    weights = Counter(dict.fromkeys(sets.values(), 0))
    for at, keys in sets.items():
        weights[keys] += pairs[at]
    mended = {
        keys: number
        for keys, number in weights.items()
        if keys and all(_tried(examples[key]) for key in keys)
    }
    return Ranking(
        causes=tuple(causes),
        plan=tuple(_plan(weights, numbers, loading)),
        refused=sum(pairs[at] for at in sets),
        loading=loading,
        unnamed=weights.get(frozenset(), 0),
        tried_plan=tuple(_plan(mended, numbers, loading)),
        unmended=sum(weights.values()) - sum(mended.values()),
        mended=sum(pairs[at] for at in sets if _own(matrix.answers[at])),
        back=sum(
            pairs[at] for at in sets if any(hint.comes_back for hint in _own(matrix.answers[at]))
        )
        if matrix.and_back
        else None,
        by_key=numbers,
    )


def _tried(finding: Finding) -> bool:
    """Was the remedy that is shown first tried?"""
    return bool(finding.hints) and finding.hints[0].verified is not None


def _own(answer: Answer) -> list[Hint]:
    """Remedies that were tried on the answer's own pairs: each is a whole command line."""
    if answer.verdict is None:
        return []
    return [
        hint
        for refusal in answer.verdict.refusals
        for hint in refusal.hints
        if hint.verified is not None and hint.command
    ]


def _loads_without(keys: frozenset[Key], gone: Iterable[Key]) -> bool:
    """Whether a refused verdict has nothing left that refuses; one without a cause never does."""
    return bool(keys) and not keys.difference(gone)


def _touched(matrix: Answers, wanted: set[int]) -> dict[int, tuple[set[int], set[int]]]:
    """VMs and hosts of the pairs of each wanted answer; equal rows are looked at once."""
    out: dict[int, tuple[set[int], set[int]]] = {at: (set(), set()) for at in wanted}
    rows: dict[bytes, tuple[set[int], list[int]]] = {}
    for vm in range(len(matrix.vms)):
        row = matrix.row(vm)
        key = row.tobytes()
        if key not in rows:
            rows[key] = (set(row) & wanted, [])
            for host, at in enumerate(row):
                if at in wanted:
                    out[at][1].add(host)
        rows[key][1].append(vm)
    for there, vms in rows.values():
        for at in there:
            out[at][0].update(vms)
    return out


def _plan(
    weights: Mapping[frozenset[Key], int], numbers: Mapping[Key, int], loading: int
) -> Iterator[Step]:
    """Which cause to remove first, second …: each time the one after which most pairs load.

    Where no single one makes a pair load, the one that most pairs still wait for.
    """
    left = {keys: number for keys, number in weights.items() if keys}
    for _ in range(_MOST_STEPS):
        gains: Counter[Key] = Counter()
        waits: Counter[Key] = Counter()
        for keys, number in left.items():
            for key in keys:
                waits[key] += number
                if len(keys) == 1:
                    gains[key] += number
        if not waits:
            return
        best = min(waits, key=lambda wait: (-gains[wait], -waits[wait], numbers[wait]))
        after: Counter[frozenset[Key]] = Counter()
        for keys, number in left.items():
            rest = keys - {best}
            if rest:
                after[rest] += number
        loading += gains[best]
        left = dict(after)
        yield Step(cause=numbers[best], more=gains[best], loads=loading)
