"""A planned change to the capability system: capabilities, policies, and what to try them on.

::

    name = "intc-capabilities"
    title = "…"
    story = "…"

    [[capability]]              # as in a downstream file; `existing = true` for one of upstream
    name = "xics"
    index = 10
    …

    [[policy]]                  # a known name, or rules: sent, compared, machine, limit
    name = "as-posted"

    [[run]]                     # the first run gives the cases; others are further scenarios
    name = "main"
    machines = ["pseries-4.0", "pseries-4.1"]
    arguments = "cap-cfpc=broken"          # further machine properties, the same on both sides
    cpus = ["POWER9"]
    [run.options]                          # every combination on either side; "" is not given
    ic-mode = ["xics", "xive", "dual"]
    # builds one by one, or: releases = ["4.1", "4.2", "5.0"] (or ["all"]) with arrives = "4.2"
    [[run.build]]
    name = "4.2+"
    base = "4.2"
    changed = true                         # has the planned capabilities; also: planned = [names]
                                           # and drop, backport, capability as a downstream file

Bundled plans are in ``plans/``.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from migratable.errors import CommandLineError, PlanError
from migratable.printable import quoted
from migratable.pseries import downstream
from migratable.pseries.build import PREFIX, Build, release, releases
from migratable.pseries.capability import Capability
from migratable.pseries.policy import Policy, read_policy
from migratable.pseries.tables import Table, read_table

MOST_CASES = 5_000_000
"""All cases of a run are kept in memory, about 150 bytes each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBuild:
    """A build of a run, without the planned capabilities.

    :ivar planned: names of planned capabilities that it gets; empty when it is from before.
    """

    build: Build
    planned: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What is enumerated: builds x builds x machine types x CPUs x options of either side.

    :ivar watched: capabilities besides the planned ones whose loss counts as unsafe.
    """

    name: str
    title: str
    explanation: str
    builds: tuple[RunBuild, ...]
    machines: tuple[str, ...]
    cpus: tuple[str, ...]
    options: tuple[tuple[str, tuple[str, ...]], ...]
    arguments: str
    memory: str
    watched: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A change, the policies for it, and the runs that try them.

    :ivar before: the policy that stands for the time before the change; None: the planned
        capabilities did not exist.
    """

    name: str
    title: str
    story: str
    capabilities: tuple[Capability, ...]
    existing: frozenset[str]
    policies: tuple[Policy, ...]
    before: Policy | None
    runs: tuple[Run, ...]

    def count(self, run: Run) -> int:
        """The most cases that *run* can have."""
        values = math.prod(len(values) for _, values in run.options)
        places = len(run.machines) * len(run.cpus)
        return len(self.policies) * len(run.builds) ** 2 * places * values**2

    def build(self, of: RunBuild, policy: Policy | None) -> Build:
        """*of* with the planned capabilities under *policy*; None is the time before."""
        if not of.planned:
            return of.build
        if policy is None:
            return of.build if self.before is None else self.before.apply(of.build, of.planned)
        added = [
            cap
            for cap in self.capabilities
            if cap.name in of.planned and cap.name not in self.existing
        ]
        build = of.build
        if added:
            capabilities = (*build.capabilities, *added)
            build = dataclasses.replace(
                build, capabilities=tuple(sorted(capabilities, key=lambda cap: cap.index))
            )
        return policy.apply(build, of.planned)


def bundled() -> tuple[str, ...]:
    """Names of the plans that come with this program."""
    folder = resources.files("migratable.pseries").joinpath("plans")
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml")))


def read_plan(name: str) -> Plan:
    """A bundled plan by name, or a plan file.

    :raise PlanError: When there is none of that name, or something in it is wrong.
    """
    if name in bundled():
        file = resources.files("migratable.pseries").joinpath("plans", f"{name}.toml")
        return parse(read_table(Path(name), text=file.read_text("utf-8"), name=f"{name}.toml"))
    path = Path(name)
    if not path.exists():
        known = ", ".join(bundled())
        raise PlanError(f"{name}: no such plan: give a TOML file, or one of {known}")
    return parse(read_table(path))


def parse(table: Table) -> Plan:
    """The plan of a table.

    :raise PlanError: When something in it is wrong, with its place.
    """
    existing: set[str] = set()
    capabilities = [_planned(item, existing) for item in table.tables("capability")]
    policies = [read_policy(item) for item in table.tables("policy")]
    for what, names in (
        ("capability", [cap.name for cap in capabilities]),
        ("policy", [policy.name for policy in policies]),
    ):
        if not names:
            raise table.error(f"a plan needs a [[{what}]]")
        if len(set(names)) != len(names):
            raise table.error(f"two of [[{what}]] have the same name")
    before = table.get("before", str, "")
    by_name = {policy.name: policy for policy in policies}
    if before and before not in by_name:
        raise table.error(f"before must name a policy of this plan, not {quoted(before)}")
    planned = tuple(cap.name for cap in capabilities)
    runs = tuple(_run(item, planned, capabilities) for item in table.tables("run"))
    if not runs:
        raise table.error("a plan needs a [[run]]")
    plan = Plan(
        name=table.get("name", str),
        title=table.get("title", str, ""),
        story=table.get("story", str, "").strip(),
        capabilities=tuple(capabilities),
        existing=frozenset(existing),
        policies=tuple(policies),
        before=by_name.get(before),
        runs=runs,
    )
    table.finish()
    for run in runs:
        count = plan.count(run)
        if count > MOST_CASES:
            raise table.error(
                f"run {run.name} has up to {count:,} cases, more than {MOST_CASES:,}: "
                "give fewer options, machines, CPUs or builds, or split it into runs"
            )
    return plan


def _planned(table: Table, existing: set[str]) -> Capability:
    if table.get("existing", bool, False):
        name = table.get("name", str)
        existing.add(name)
        table.finish()
        # its place in the table comes from each build's own release
        return Capability(name=name, index=-1, kind="bool", subsection="")
    return downstream.capability(table)


def _releases(
    table: Table, planned: tuple[str, ...], capabilities: list[Capability]
) -> list[RunBuild]:
    """``releases`` and ``arrives``: upstream releases, changed from one of them on."""
    names = table.texts("releases", [])
    if not names:
        return []
    arrives = table.version("arrives")
    try:
        builds = [release(name) for name in (releases() if names == ["all"] else names)]
    except CommandLineError as error:
        raise table.error(f"releases: {error}") from None
    found = []
    for build in builds:
        if build.release < arrives:
            found.append(RunBuild(build=build, planned=()))
            continue
        changed = dataclasses.replace(build, name=f"{build.name}+")
        _check_places(changed, planned, capabilities, table)
        found.append(RunBuild(build=changed, planned=planned))
    return found


def _check_places(
    build: Build, planned: tuple[str, ...], capabilities: list[Capability], place: Table
) -> None:
    """Refuse planned capabilities whose name, index or subsection *build* has already."""
    added = [cap for cap in capabilities if cap.name in planned and cap.index >= 0]
    downstream.with_capabilities(build, build.name, (*build.capabilities, *added), place)


def _run(table: Table, planned: tuple[str, ...], capabilities: list[Capability]) -> Run:
    builds = []
    for item in table.tables("build"):
        made = downstream.build(item)
        wanted = tuple(item.texts("planned", [])) or planned
        odd = [name for name in wanted if name not in planned]
        if odd:
            raise item.error(f"planned: no capability of this plan: {', '.join(odd)}")
        changed = item.get("changed", bool, False)
        if changed:
            _check_places(made, wanted, capabilities, item)
        builds.append(RunBuild(build=made, planned=wanted if changed else ()))
        item.finish()
    builds += _releases(table, planned, capabilities)
    if len({build.build.name for build in builds}) != len(builds) or not builds:
        raise table.error("a run needs [[run.build]] tables with different names, or releases")
    options = []
    for key, values in table.table("options").items():
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise table.error(f"options: {key} must be a list of strings")
        options.append((key, tuple(values)))
    machines = table.texts("machines", [])
    if not machines:
        machines = list(dict.fromkeys(name for build in builds for name in build.build.machines))
    known = {name for build in builds for name in build.build.machines}
    for machine in machines:
        if machine not in known:
            raise table.error(
                f"machines: no build of this run has {quoted(machine)}: names are as {PREFIX}4.1"
            )
    run = Run(
        name=table.get("name", str),
        title=table.get("title", str, ""),
        explanation=table.get("explanation", str, "").strip(),
        builds=tuple(builds),
        machines=tuple(machines),
        cpus=tuple(table.texts("cpus", ["POWER9"])),
        options=tuple(options),
        arguments=table.get("arguments", str, ""),
        memory=table.get("memory", str, "256M"),
        watched=tuple(table.texts("watched", [])),
    )
    table.finish()
    return run
