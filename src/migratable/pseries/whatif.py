"""A plan against everything: each policy, build pair, machine type and pair of option values.

Cases that are the same to a loader share one result, so a case costs about a table look-up.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from migratable.errors import PlanError
from migratable.members import members
from migratable.pseries.build import Build
from migratable.pseries.load import Arriving, Loaded, Loader, before_spapr, leaving
from migratable.pseries.plan import Plan, Run
from migratable.pseries.policy import Policy
from migratable.pseries.start import Sent, Started, Starter
from migratable.pseries.values import NotModelledError
from migratable.pseries.whatif_case import Case, Result, Tally, Values

SCHEMA = "migratable.whatif/1"


class _Side(NamedTuple):
    """A started machine. Equal numbers mean that a loader cannot tell the machines apart.

    ``kind`` numbers the whole; ``leaves`` what it sends up to the ``spapr`` section and ``takes``
    what it looks at up to there; ``spapr`` what it compares the section with.
    """

    started: Started
    arriving: Arriving
    offers: tuple[int | None, ...]
    leaves: int
    takes: int
    spapr: int
    kind: int


class Enumeration:
    """All cases of one run.

    :ivar left_out: command lines that a build refuses at start, by (build, first error line).
    """

    def __init__(self, plan: Plan, run: Run) -> None:
        """Nothing is enumerated yet."""
        self.plan = plan
        self.run = run
        self._loader = Loader()
        self._kinds: dict[object, int] = {}
        self._blocked: dict[tuple[int, int], Loaded | None] = {}
        self._compared: dict[tuple[Sent, int], Loaded] = {}
        self._results: dict[tuple[int, int, int, int], Result] = {}
        self.left_out: dict[tuple[str, str], int] = {}
        self._watched = tuple(
            dict.fromkeys((*(name for build in run.builds for name in build.planned), *run.watched))
        )
        self._combinations = tuple(itertools.product(*(values for _, values in run.options)))
        self._before = {
            build.build.name: self._sides(plan.build(build, None)) for build in run.builds
        }

    def cases(self) -> Iterator[Case]:
        """Every case, policy by policy; sides that do not start are left out."""
        run = self.run
        changed = {build.build.name for build in run.builds if build.planned}
        for policy in self.plan.policies:
            sides = {
                build.build.name: self._sides(self.plan.build(build, policy))
                for build in run.builds
            }
            pairs = itertools.product(run.machines, run.cpus, sides, sides)
            for machine, cpu, source, destination in pairs:
                if source not in changed and destination not in changed:
                    continue
                yield from self._pair(policy, sides, (machine, cpu), (source, destination))

    def _pair(
        self,
        policy: Policy,
        sides: dict[str, dict[tuple[str, str], dict[Values, _Side]]],
        place: tuple[str, str],
        direction: tuple[str, str],
    ) -> Iterator[Case]:
        name, (machine, cpu), (source, destination) = policy.name, place, direction
        ours, theirs = sides[source].get(place, {}), sides[destination].get(place, {})
        old_ours = self._before[source].get(place, {})
        old_theirs = self._before[destination].get(place, {})
        known = self._results
        receivers = [
            (values, other, other.kind, old_other, old_other.kind if old_other is not None else -1)
            for values, other in theirs.items()
            for old_other in (old_theirs.get(values),)
        ]
        for source_values, side in ours.items():
            old = old_ours.get(source_values)
            old_kind = old.kind if old is not None else -1
            for values, other, other_kind, old_other, old_other_kind in receivers:
                key = (side.kind, other_kind, old_kind, old_other_kind)
                result = known.get(key)
                if result is None:
                    result = known[key] = self._judge(side, other, old, old_other)
                yield Case(name, source, destination, machine, cpu, source_values, values, result)

    def _judge(
        self, source: _Side, destination: _Side, old: _Side | None, old_destination: _Side | None
    ) -> Result:
        loaded = self._load(source, destination)
        before = (
            None if old is None or old_destination is None else self._load(old, old_destination)
        )
        loses = False
        for ours, theirs in zip(source.offers, destination.offers, strict=True):
            if ours is not None and theirs is not None and ours > theirs:
                loses = True
        refused = loaded.rule is not None
        regression = refused and before is not None and before.rule is None
        return Result(
            loaded,
            regression,
            not refused and loses,
            regression and loses,
            not (refused or loses or loaded.lines),
        )

    def _load(self, source: _Side, destination: _Side) -> Loaded:
        key = (source.leaves, destination.takes)
        try:
            blocked = self._blocked[key]
        except KeyError:
            blocked = before_spapr(source.arriving, destination.started)
            self._blocked[key] = blocked
        if blocked is not None:
            return blocked
        section = (source.started.sent, destination.spapr)
        loaded = self._compared.get(section)
        if loaded is None:
            loaded = self._loader.at_spapr(source.started.sent, destination.started)
            self._compared[section] = loaded
        return loaded

    def _sides(self, build: Build) -> dict[tuple[str, str], dict[Values, _Side]]:
        starter = Starter(build)
        found: dict[tuple[str, str], dict[Values, _Side]] = {}
        for machine, cpu in itertools.product(self.run.machines, self.run.cpus):
            if machine not in build.machines:
                continue
            here = found[machine, cpu] = {}
            for values in self._combinations:
                try:
                    started = starter.start(self.arguments(machine, cpu, values))
                except NotModelledError as unknown:
                    raise PlanError(f"run {self.run.name}: {unknown}") from None
                if started.runs:
                    here[values] = self._side(started)
                else:
                    errors = [line for line in started.stderr if not line.startswith("warning: ")]
                    key = (build.name, errors[0])
                    self.left_out[key] = self.left_out.get(key, 0) + 1
        return found

    def arguments(self, machine: str, cpu: str, values: Values) -> list[str]:
        """QEMU's arguments for one side."""
        given = [
            f"{key}={value}"
            for (key, _), value in zip(self.run.options, values, strict=True)
            if value
        ]
        more = [self.run.arguments] if self.run.arguments else []
        return ["-M", ",".join([machine, *given, *more]), "-cpu", cpu, "-m", self.run.memory]

    def _side(self, started: Started) -> _Side:
        offers = tuple(self._offer(started, name) for name in self._watched)
        arriving = leaving(started)
        before, spapr = _destination_parts(started)
        leaves = self._number(dataclasses.replace(arriving, sent=()))
        takes, at_spapr = self._number(before), self._number(spapr)
        kind = self._number((leaves, started.sent, takes, at_spapr, offers))
        return _Side(started, arriving, offers, leaves, takes, at_spapr, kind)

    def _number(self, what: object) -> int:
        return self._kinds.setdefault(what, len(self._kinds))

    def _offer(self, started: Started, name: str) -> int | None:
        """What the guest of this machine has of a capability, whether the build knows it or not."""
        for place, cap in enumerate(started.build.capabilities):
            if cap.name == name and not cap.given_by:
                return started.levels[place]
        for cap in self.plan.capabilities:
            if cap.name == name and cap.given_by:
                mode = "xics" if started.ic_mode == "legacy" else started.ic_mode
                return cap.given_by["ic-mode"][mode]
            if cap.name == name and cap.kind == "size":
                return None
        return 0


def _destination_parts(started: Started) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What a destination looks at before the ``spapr`` section, and what it compares that with."""
    machine, cpu, build = started.machine, started.cpu, started.build
    assert machine is not None
    assert cpu is not None
    table = tuple(
        (cap.name, cap.subsection, cap.compared(machine.version)) for cap in build.capabilities
    )
    before = (
        build.release, machine.name, cpu.name, started.cas_pvr, started.ic_mode, started.ram,
        started.cpus, started.servers,
    )  # fmt: skip
    return before, (build.release, table, started.levels, started.defaults)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A run's cases with counts and the smallest counterexample of each policy.

    :ivar left_out: (build, first error line) of command lines with which it does not start.
    """

    run: Run
    cases: tuple[Case, ...]
    tallies: dict[str, Tally]
    smallest: dict[str, tuple[Case, ...]]
    left_out: tuple[tuple[str, str], ...] = ()


def report(plan: Plan, run: Run, *, examples: int = 4) -> RunReport:
    """Enumerate *run*; keep the *examples* smallest counterexamples of each policy.

    :raise PlanError: When there is not a single case.
    """
    tallies = {policy.name: Tally() for policy in plan.policies}
    found: dict[str, list[Case]] = {policy.name: [] for policy in plan.policies}
    enumeration = Enumeration(plan, run)
    cases = tuple(enumeration.cases())
    if not cases:
        why = "; ".join(f"{build}: {line}" for build, line in enumeration.left_out)
        raise PlanError(
            f"run {run.name}: no case is left, so there is nothing to judge: two builds, one of "
            f"them changed, must have a machine type in common and start ({why or 'none does'})"
        )
    for case in cases:
        tallies[case.policy].add(case)
        if case.result.plain:
            continue
        if case.result.unsafe or (case.result.verdict == "refused" and case.broken):
            found[case.policy].append(case)
    smallest = {name: _smallest(bad)[:examples] for name, bad in found.items()}
    return RunReport(
        run=run,
        cases=cases,
        tallies=tallies,
        smallest=smallest,
        left_out=tuple(enumeration.left_out),
    )


def _smallest(cases: list[Case]) -> tuple[Case, ...]:
    """The smallest case of each kind of fault and direction, gravest fault first."""
    best: dict[tuple[int, str, str], Case] = {}
    for case in cases:
        grave = 2 if case.result.unsafe else 0 if case.between_equals else 1
        key = (grave, case.source, case.destination)
        if key not in best or case.size < best[key].size:
            best[key] = case
    return tuple(best[key] for key in sorted(best, key=lambda key: (key[0], best[key].size)))


def case_json(run: Run, case: Case) -> dict[str, Any]:
    """A case as the JSON contract has it; options by name: ``source_ic_mode``."""
    answer: dict[str, Any] = {
        "policy": case.policy,
        "source": case.source,
        "destination": case.destination,
        "machine": case.machine,
    }
    if len(run.cpus) > 1:
        answer["cpu"] = case.cpu
    for side, values in (("source", case.source_values), ("destination", case.destination_values)):
        for (key, _), value in zip(run.options, values, strict=True):
            answer[f"{side}_{key.replace('-', '_')}"] = value or None
    answer |= {
        "verdict": case.result.verdict,
        "stderr": list(case.result.stderr),
        "regression": case.result.regression,
        "unsafe": case.result.unsafe,
    }
    return answer


def policy_json(plan: Plan, found: RunReport) -> list[dict[str, Any]]:
    """The policies' counts, verdicts and smallest counterexamples."""
    return [
        {
            "name": policy.name,
            "summary": policy.summary,
            **members(tally),
            "verdict": tally.verdict,
            "counterexamples": [case_json(found.run, case) for case in found.smallest[policy.name]],
        }
        for policy in plan.policies
        for tally in (found.tallies[policy.name],)
    ]


def _report_json(plan: Plan, found: RunReport) -> dict[str, Any]:
    return {
        "cases": [case_json(found.run, case) for case in found.cases],
        "policies": policy_json(plan, found),
        "left_out": [{"build": build, "stderr": line} for build, line in found.left_out],
    }


def to_json(plan: Plan, found: list[RunReport]) -> dict[str, Any]:
    """The whole answer: the first run's cases, then the others as scenarios."""
    first, *others = found
    return {
        "schema": SCHEMA,
        "plan": plan.name,
        "title": plan.title,
        **_report_json(plan, first),
        "scenarios": [
            {
                "name": other.run.name,
                "title": other.run.title,
                "explanation": other.run.explanation,
                **_report_json(plan, other),
            }
            for other in others
        ],
    }
