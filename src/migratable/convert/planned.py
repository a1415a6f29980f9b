"""A pseries destination that nobody has built: a planned change, judged by the model.

What the model knows is capabilities, interrupt controllers, processors and memory of the machine
itself; other devices are passed over and said to be unexamined.
"""

from __future__ import annotations

from collections.abc import Sequence

from migratable.convert.situation import Destination
from migratable.errors import CommandLineError, PlanError
from migratable.printable import quoted
from migratable.profile.tables import MachineCapability
from migratable.pseries import wire
from migratable.pseries.build import Build
from migratable.pseries.plan import read_plan
from migratable.pseries.start import Started, Starter
from migratable.pseries.values import NotModelledError
from migratable.stream import Stream
from migratable.verdict import Basis, Finding, Outcome, Refusal, Severity, Verdict

_CAPABILITY = "spapr/cap/"


def planned(name: str, args: Sequence[str]) -> Destination:
    """The destination of a whatif plan.

    :param name: ``PLAN:POLICY`` (``intc-capabilities:as-posted``); the build is the first changed
        one of the plan's first run.
    :param args: QEMU's arguments without the program.
    :raise PlanError: when there is no such plan or policy.
    :raise CommandLineError: when the machine does not start, or an option is not modelled.
    """
    plan_name, _, policy_name = name.partition(":")
    plan = read_plan(plan_name)
    policy = next((policy for policy in plan.policies if policy.name == policy_name), None)
    if policy is None:
        known = ", ".join(policy.name for policy in plan.policies)
        raise PlanError(
            f"plan {quoted(plan_name)} has no policy {quoted(policy_name)}; it has {known}"
        )
    of = next(build for build in plan.runs[0].builds if build.planned)
    return of_build(plan.build(of, policy), args)


def of_build(build: Build, args: Sequence[str]) -> Destination:
    """A destination that the model starts.

    :raise CommandLineError: when it does not start, or an option is not modelled.
    """
    try:
        started = Starter(build).start(list(args))
    except NotModelledError as unknown:
        raise CommandLineError(str(unknown)) from None
    if not started.runs or started.machine is None:
        raise CommandLineError(f"QEMU {build.name} ends at start: " + "; ".join(started.stderr))
    return Destination(
        judge=lambda stream: judge(stream, started),
        name=f"{started.machine.name} of QEMU {build.name} (model)",
        machine=started.machine.name,
        capabilities=tuple(
            MachineCapability(
                name=cap.name,
                wire=cap.subsection.removeprefix(_CAPABILITY),
                default=default,
                effective=level,
            )
            for cap, level, default in zip(
                build.capabilities, started.levels, started.defaults, strict=True
            )
        ),
    )


def judge(stream: Stream, started: Started) -> Verdict:
    """What the model says of a stream.

    :raise StreamError: when it is no stream of a pseries machine.
    """
    outcome = wire.load(stream, started)
    loaded = outcome.loaded
    build = started.build
    facts = {
        "qemu": build.name,
        "machine": None if started.machine is None else started.machine.name,
        "model": True,
    }
    unchecked = tuple(
        f"{one}: its state (the model does not know it)" for one in outcome.unexamined
    )
    if loaded.rule is None:
        return Verdict(
            outcome=Outcome.LOADS,
            basis=Basis.PREDICTED,
            destination=facts,
            stderr=loaded.lines,
            unchecked=unchecked,
        )
    subsection: str | None = None
    if loaded.rule == "unknown-subsection":
        known = {cap.subsection for cap in build.capabilities}
        sent = wire.arriving(stream).sent
        subsection = next((name for name, _ in sent if name not in known), None)
    message = loaded.lines[0] if loaded.lines else loaded.rule
    finding = Finding(
        rule=loaded.rule,
        severity=Severity.REFUSES,
        summary=message,
        device=loaded.device or ("spapr" if loaded.rule.startswith("capability") else None),
        subsection=subsection,
        stderr=loaded.lines,
    )
    return Verdict(
        outcome=Outcome.REFUSED,
        basis=Basis.PREDICTED,
        destination=facts,
        first_refusal=Refusal(
            rule=loaded.rule, message=message, device=finding.device, stderr=loaded.lines
        ),
        findings=(finding,),
        stderr=loaded.lines,
        unchecked=unchecked,
    )
