"""Check every VM against every host; pairs that are equal for all rules are checked once."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from migratable.check.cache import equivalence
from migratable.fleet.cells import Answer, Answers, State
from migratable.fleet.entities import Guest, Progress
from migratable.fleet.pairs import Check, Pairs
from migratable.fleet.resolve import Resolved, shapes
from migratable.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from migratable.fleet.causes import Ranking

SCHEMA = "migratable.matrix/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A row or a column: a VM or a host, with facts for reports."""

    name: str
    group: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The result. Not slotted: what is counted is counted when it is first asked for.

    :ivar cells: index into :attr:`Matrix.answers` for each pair, row by row.
    :ivar checked: pairs that were really checked, after reduction.
    :ivar and_back: was each pair that loads tried for the way back?
    """

    title: str
    vms: tuple[Line, ...]
    hosts: tuple[Line, ...]
    answers: tuple[Answer, ...]
    cells: array[int] = field(repr=False)
    checked: int = 0
    and_back: bool = False

    def answer(self, vm: int, host: int) -> Answer:
        """Answer for VM number *vm* on host number *host*."""
        return self.answers[self.cells[vm * len(self.hosts) + host]]

    def verdict(self, vm: int, host: int) -> Verdict | None:
        """Verdict for a pair, with names and facts of this pair; None where there is no pair."""
        found = self.answer(vm, host).verdict
        if found is None:
            return None
        return replace(
            found,
            source={"name": self.vms[vm].name, **self.vms[vm].facts},
            destination={"name": self.hosts[host].name, **self.hosts[host].facts},
        )

    def row(self, vm: int) -> array[int]:
        """Indices into :attr:`Matrix.answers` of a VM's pairs."""
        width = len(self.hosts)
        return self.cells[vm * width : (vm + 1) * width]

    def decided(self, change: Callable[[Verdict], Verdict]) -> Matrix:
        """The same with every answer's verdict changed, as a project file has it."""
        answers = tuple(
            answer
            if answer.verdict is None or answer.state is State.FAILED
            else Answer.of(change(answer.verdict))
            for answer in self.answers
        )
        return replace(self, answers=answers)

    @cached_property
    def pairs(self) -> Counter[int]:
        """How many pairs each answer has."""
        rows: Counter[bytes] = Counter(self.row(vm).tobytes() for vm in range(len(self.vms)))
        found: Counter[int] = Counter()
        for data, times in rows.items():
            for at, number in Counter(array("I", data)).items():
                found[at] += number * times
        return found

    @cached_property
    def counts(self) -> dict[State, int]:
        """How many pairs are in each state, states without pairs left out."""
        found: Counter[State] = Counter()
        for at, number in self.pairs.items():
            found[self.answers[at].state] += number
        return {state: found[state] for state in State if found[state]}

    @cached_property
    def ranking(self) -> Ranking:
        """Causes by how many pairs they break."""
        from migratable.fleet.causes import rank  # noqa: PLC0415 -- of refusals alone

        return rank(self)

    @cached_property
    def backs(self) -> dict[str, int]:
        """Of the pairs that load, how many come back, do not, or for how many that is not known."""
        found = dict.fromkeys(("comes_back", "does_not", "not_known"), 0)
        for at, number in self.pairs.items():
            answer = self.answers[at]
            if answer.verdict is not None and answer.verdict.outcome is Outcome.LOADS:
                found[_BACK[answer.comes_back]] += number
        return found

    @property
    def exit_status(self) -> int:
        """2 when something failed, 1 when a pair is refused, 3 when one is unknown, else 0.

        With the way back, also 1 when a VM does not come back, and 3 when that is not known.
        """
        return status_of(self.counts, self.backs if self.and_back else None)

    def to_json(self) -> dict[str, Any]:
        """One object for a program, ``migratable.matrix/1``."""
        return {
            "schema": SCHEMA,
            "title": self.title,
            "vms": [_line_json(one) for one in self.vms],
            "hosts": [_line_json(host) for host in self.hosts],
            "counts": {str(state): number for state, number in self.counts.items()},
            "checked": self.checked,
            "causes": self.ranking.to_json(),
            **({"way_back": self.backs} if self.and_back else {}),
            "answers": [
                {
                    "state": str(answer.state),
                    "pairs": self.pairs[index],
                    **(_back_json(answer) if self.and_back else {}),
                    "verdict": None if answer.verdict is None else answer.verdict.to_json(),
                }
                for index, answer in enumerate(self.answers)
            ],
            "cells": [self.row(vm).tolist() for vm in range(len(self.vms))],
        }


_BACK = {True: "comes_back", False: "does_not", None: "not_known"}


def _back_json(answer: Answer) -> dict[str, Any]:
    """Members of an answer that loads; empty of others."""
    if answer.verdict is None or answer.verdict.outcome is not Outcome.LOADS:
        return {}
    return {"comes_back": answer.comes_back, "way_back": answer.why_not_back}


def status_of(counts: Mapping[Any, int], backs: Mapping[str, int] | None) -> int:
    """Exit status by how many pairs are in each state, and how many come back."""
    back = backs or {}
    for number, status in (
        (counts.get("failed"), 2),
        (counts.get("refused") or back.get("does_not"), 1),
        (counts.get("unknown") or back.get("not_known"), 3),
    ):
        if number:
            return status
    return 0


def _line_json(line: Line) -> dict[str, Any]:
    return {"name": line.name, "group": line.group, "facts": dict(line.facts)}


def run(
    resolved: Resolved, *, check: Check | None = None, progress: Progress | None = None
) -> Matrix:
    """Check every pair.

    :param check: in the place of :func:`migratable.check.check`.
    :raise MigratableError: never; a pair that cannot be checked is ``failed``, with the reason.
    """
    pairs = Pairs(resolved.destinations, check=check)
    answers = Answers()
    keys = shapes(resolved.guests)
    width = len(resolved.fleet.hosts)
    rows: dict[Hashable, array[int]] = {}
    cells = array("I")
    done: dict[Hashable, int] = {}
    for number, guest in enumerate(resolved.guests):
        if progress is not None:
            progress("checking", number, len(resolved.guests))
        choice = resolved.choice[number * width : (number + 1) * width]
        key: Hashable = (keys[number] or guest.failure, pairs.origin_key(guest.profile))
        row_key = (key, choice.tobytes())
        if row_key not in rows:
            row = array("I")
            for at in choice:
                place = (key, pairs.kinds[at])
                if place not in done:
                    done[place] = answers.add(pairs.answer(guest, at))
                row.append(done[place])
            rows[row_key] = row
        cells.extend(rows[row_key])
    return Matrix(
        title=resolved.fleet.title or resolved.fleet.name,
        vms=tuple(_vm_line(guest, key) for guest, key in zip(resolved.guests, keys, strict=True)),
        hosts=tuple(_host_lines(resolved)),
        answers=tuple(answers.found),
        cells=cells,
        checked=len(done),
    )


def _vm_line(guest: Guest, key: equivalence.Shape | None) -> Line:
    facts: dict[str, Any] = {
        "source": guest.vm.source or "its command line",
        **{name: value for name, value in guest.facts.items() if name in {"kind", "release"}},
    }
    if guest.stream is not None:
        facts["machine"] = guest.stream.machine
        facts["ram"] = 0 if guest.stream.ram is None else guest.stream.ram.total
    if key is not None:
        facts["shape"] = key.hex()[:12]
    if guest.at_power_on:
        facts["state"] = "at power-on"
    return Line(name=guest.vm.name, group=guest.vm.group, facts=facts)


def _host_lines(resolved: Resolved) -> Iterator[Line]:
    """A host's facts are those of its only machine, or what all of its machines share."""
    width = len(resolved.fleet.hosts)
    for number, host in enumerate(resolved.fleet.hosts):
        used = set(resolved.choice[number::width])
        profiles = [resolved.destinations[at].profile for at in sorted(used)]
        there = [profile for profile in profiles if profile is not None]
        facts: dict[str, Any] = {}
        for name, values in (
            ("qemu", {str(profile.version) for profile in there}),
            ("machine", {profile.machine for profile in there}),
            ("cpu", {profile.cpu_model for profile in there}),
        ):
            if len(values) == 1:
                facts[name] = values.pop()
        facts["machines"] = len(used)
        yield Line(name=host.name, group=host.group, facts=facts)
