"""Rates of agreement, and the disagreements grouped by what they have in common."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from migratable.campaign.cache import Outcome
from migratable.campaign.judge import Cause, Grade, Judgement, errors, same_device, same_rule

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = "migratable.campaign/1"
_GRADES = list(Grade)
_ADDRESS = re.compile(r"0x[0-9a-f]+|\b\d+\b|(?:pci@[0-9a-f]+|[0-9a-f]{4}):[0-9a-f:./]+", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many of how many."""

    count: int
    of: int

    @property
    def rate(self) -> float:
        """As a share of one; 1 of nothing."""
        return self.count / self.of if self.of else 1.0

    def __str__(self) -> str:
        """For a table."""
        return f"{self.count} of {self.of}  ({self.rate:.2%})"

    def to_json(self) -> dict[str, Any]:
        """One object."""
        return {"count": self.count, "of": self.of, "rate": round(self.rate, 5)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a campaign measures.

    :ivar verdicts: predicted outcome is the real one.
    :ivar wrong_loads: predicted to load, of those that were refused.
    :ivar causes: first refusal's rule and device, of those refused on both sides.
    :ivar rules, devices: either alone.
    :ivar lines: first error line, of those refused on both sides.
    :ivar whole: all error lines.
    """

    pairs: int
    refused: int
    verdicts: Share
    wrong_loads: Share
    false_refusals: Share
    unknown: Share
    failed: Share
    causes: Share
    rules: Share
    devices: Share
    lines: Share
    whole: Share
    by_real: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """One object."""
        return {
            name: value.to_json() if isinstance(value, Share) else value
            for name in self.__slots__
            for value in [getattr(self, name)]
        }


def score(found: Sequence[Judgement]) -> Score:
    """Count."""
    grades = Counter(judgement.grade for judgement in found)
    refused = [judgement for judgement in found if judgement.real == "refused"]
    both = [judgement for judgement in refused if judgement.predicted == "refused"]
    loaded = len(found) - len(refused)
    rules = [judgement for judgement in both if same_rule(judgement.cause, judgement.prediction)]
    devices = [
        judgement for judgement in both if same_device(judgement.cause, judgement.prediction)
    ]
    return Score(
        pairs=len(found),
        refused=len(refused),
        verdicts=Share(
            count=sum(judgement.real == judgement.predicted for judgement in found), of=len(found)
        ),
        wrong_loads=Share(count=grades[Grade.WRONG_LOADS], of=len(refused)),
        false_refusals=Share(count=grades[Grade.FALSE_REFUSAL], of=loaded),
        unknown=Share(count=grades[Grade.UNKNOWN], of=len(found)),
        failed=Share(count=grades[Grade.FAILED], of=len(found)),
        causes=Share(count=sum(rule in devices for rule in rules), of=len(both)),
        rules=Share(count=len(rules), of=len(both)),
        devices=Share(count=len(devices), of=len(both)),
        lines=Share(
            count=sum(
                judgement.cause.message == judgement.prediction.message for judgement in both
            ),
            of=len(both),
        ),
        whole=Share(count=sum(judgement.grade is Grade.AGREES for judgement in both), of=len(both)),
        by_real=dict(Counter(judgement.outcome.status for judgement in found)),
    )


# Disagreements


def groups(found: Iterable[Judgement]) -> list[list[Judgement]]:
    """Disagreements with the same look together, gravest and most frequent first."""
    by_look: dict[tuple[str, ...], list[Judgement]] = {}
    for judgement in found:
        if judgement.grade is not Grade.AGREES:
            by_look.setdefault(look(judgement), []).append(judgement)
    return sorted(by_look.values(), key=lambda group: (_GRADES.index(group[0].grade), -len(group)))


def look(judgement: Judgement) -> tuple[str, ...]:
    """What tells one sort of disagreement from another: lines without numbers and addresses."""

    def plain(cause: Cause) -> str:
        return _ADDRESS.sub("#", cause.message)[:160]

    return (
        str(judgement.grade),
        judgement.cause.rule,
        plain(judgement.cause),
        judgement.prediction.rule,
        plain(judgement.prediction),
        _ADDRESS.sub("#", judgement.notes[0])[:100] if judgement.notes else "",
    )


def command(outcome: Outcome, *, source: bool) -> str:
    """A side's command line, as ``migratable check`` takes it."""
    side = outcome.source if source else outcome.destination
    return shlex.join([f"lab:{side.release}/{side.arch}", *side.argv])


def details(judgement: Judgement) -> str:
    """Everything about a case, for a person."""
    outcome = judgement.outcome
    changes = ", ".join(outcome.destination.changes) or "no change"
    run = f", firmware ran {outcome.source.run:g} s" if outcome.source.run else ""
    lines = [
        f"case {judgement.key} ({outcome.label}){run}  [{changes}]",
        f"  source       {command(outcome, source=True)}",
        f"  destination  {command(outcome, source=False)}",
        f"  real         {outcome.status}  rule {judgement.cause.rule or '-'}  "
        f"device {judgement.cause.device or '-'}",
        *(f"      | {line}" for line in errors(judgement.cause.lines)),
        f"  predicted    {judgement.predicted}  rule {judgement.prediction.rule or '-'}  "
        f"device {judgement.prediction.device or '-'}",
        *(
            f"      | {line}"
            for line in errors(judgement.prediction.lines) or (judgement.prediction.message,)
            if line
        ),
        *(f"      : {line}" for line in judgement.notes),
    ]
    return "\n".join(lines)


def to_json(
    found: Sequence[Judgement], *, hidden: bool, conditions: dict[str, Any]
) -> dict[str, Any]:
    """The whole report as one object (``migratable.campaign/1``).

    :param hidden: rates alone, as for what is held out.
    """
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "conditions": conditions,
        "score": score(found).to_json(),
        "grades": {
            str(grade): sum(judgement.grade is grade for judgement in found) for grade in Grade
        },
    }
    if not hidden:
        document["disagreements"] = [
            {"count": len(group), "cases": [judgement.to_json() for judgement in group[:5]]}
            for group in groups(found)
        ]
    return document


def show(
    found: Sequence[Judgement], console: Console, *, hidden: bool, most: int, each: int = 1
) -> None:
    """Print the rates, and the disagreements."""
    from rich.table import Table  # noqa: PLC0415 -- printing only

    result = score(found)
    table = Table(box=None, pad_edge=False, show_header=False)
    rows = (
        ("pairs", f"{result.pairs}  ({', '.join(f'{n} {k}' for k, n in result.by_real.items())})"),
        ("verdict agrees", result.verdicts),
        ("wrong loads", result.wrong_loads),
        ("false refusals", result.false_refusals),
        ("unknown", result.unknown),
        ("program failed", result.failed),
        ("rule and device", result.causes),
        ("  rule", result.rules),
        ("  device", result.devices),
        ("first error line", result.lines),
        ("all error lines", result.whole),
    )
    for name, value in rows:
        table.add_row(name, str(value))
    console.print(table)
    if hidden:
        return
    for group in groups(found)[:most]:
        judgement = group[0]
        console.print(f"\n[bold]{judgement.grade}[/bold]: {len(group)} of this sort")
        for case in group[:each]:
            console.print(details(case), markup=False, highlight=False, soft_wrap=True)
