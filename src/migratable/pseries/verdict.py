"""A judged pair as a :class:`~migratable.verdict.Verdict`, with causes and tried remedies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from migratable.pseries.batch import Model, Pair
from migratable.pseries.load import Loaded
from migratable.pseries.start import Started
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Basis, Finding, Hint, Outcome, Refusal, Severity, Side, Verdict

NOT_EXAMINED = (
    "devices other than processors and interrupt controllers, and the guest's own state",
    "KVM: the model is of TCG",
)


def judge(
    model: Model,
    source: tuple[str, Sequence[str]],
    destination: tuple[str, Sequence[str]],
) -> Verdict:
    """The verdict on (release, QEMU arguments) of both sides, from the model alone.

    :raise CommandLineError: When a release is not known or the arguments are not QEMU's.
    """
    pair = model.judge(*source, *destination)
    return verdict(model, pair, source, destination)


def verdict(
    model: Model,
    pair: Pair,
    source: tuple[str, Sequence[str]],
    destination: tuple[str, Sequence[str]],
) -> Verdict:
    """*pair* in the words that every command uses; hints were tried with *model*."""
    ours, theirs = _facts(source, pair.source), _facts(destination, pair.destination)
    texts = (*NOT_EXAMINED, *_interpolated(model, source, destination))
    unchecked = tuple(Unchecked(text, Code.MODEL) for text in texts)
    if pair.unknown:
        return Verdict(
            outcome=Outcome.UNKNOWN,
            basis=Basis.PREDICTED,
            unchecked=(Unchecked(pair.unknown, Code.MODEL), *unchecked),
            source=ours,
            destination=theirs,
        )
    findings = _findings(model, pair, source, destination)
    outcome = Outcome.LOADS if pair.verdict == "loads" else Outcome.REFUSED
    stderr = pair.destination_stderr
    refusal = None
    if outcome is Outcome.REFUSED:
        cause = next(finding for finding in findings if finding.severity is Severity.REFUSES)
        lines = stderr if pair.destination is not None else cause.stderr
        refusal = Refusal(
            rule=cause.rule,
            device=cause.device,
            instance_id=cause.instance_id,
            message=next((line for line in cause.stderr), ""),
            stderr=lines,
        )
    return Verdict(
        outcome=outcome,
        basis=Basis.PREDICTED,
        first_refusal=refusal,
        findings=findings,
        unchecked=unchecked,
        stderr=stderr,
        source=ours,
        destination=theirs,
    )


def _facts(side: tuple[str, Sequence[str]], started: Started | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"release": side[0], "args": list(side[1])}
    if started is not None and started.machine is not None and started.cpu is not None:
        facts |= {
            "machine": started.machine.name,
            "cpu": started.cpu.name,
            "ic_mode": started.ic_mode,
            "accelerator": "tcg",
        }
    return facts


def _interpolated(
    model: Model, source: tuple[str, Sequence[str]], destination: tuple[str, Sequence[str]]
) -> tuple[str, ...]:
    names = dict.fromkeys((source[0], destination[0]))
    return tuple(
        f"QEMU {name}: interpolated between releases that were run, not verified"
        for name in names
        if not model.starter(name).build.verified
    )


def _findings(
    model: Model,
    pair: Pair,
    source: tuple[str, Sequence[str]],
    destination: tuple[str, Sequence[str]],
) -> tuple[Finding, ...]:
    if pair.source is None:
        return ()
    if not pair.source.runs:
        return (_not_started("source", pair.source),)
    if pair.destination is None:
        return ()
    if not pair.destination.runs:
        return (_not_started("destination", pair.destination),)
    loaded = pair.loaded
    assert loaded is not None
    if loaded.rule is not None and loaded.rule != "capability-higher":
        summary, explanation = _TEXTS[loaded.rule, loaded.subsection]
        return (
            Finding(
                rule=loaded.rule,
                severity=Severity.REFUSES,
                device=loaded.device,
                instance_id=0,
                subsection=loaded.subsection,
                summary=summary,
                explanation=explanation,
                stderr=loaded.lines,
                hints=_device_hints(model, pair, loaded, source, destination),
            ),
        )
    return tuple(_capability_findings(model, pair, source, destination))


def _not_started(side: str, started: Started) -> Finding:
    return Finding(
        rule=f"{side}-start",
        severity=Severity.REFUSES,
        summary=f"QEMU {started.build.name} ends at start on the {side}",
        explanation="The machine's options are refused before there is anything to migrate.",
        stderr=tuple(line for line in started.stderr if not line.startswith("warning: ")),
    )


_TEXTS = {
    ("machine-type", None): (
        "the machine types differ",
        "A stream loads only into the machine type that wrote it.",
    ),
    ("unknown-section", None): (
        "the destination has no device for a section of the stream",
        "ic-mode decides which interrupt controllers exist; the stream brings one that the "
        "destination's mode does not have.",
    ),
    ("unknown-subsection", None): (
        "the destination does not know a capability of the stream",
        "The source's release sends a capability that the destination's does not have.",
    ),
    ("version-too-new", "cpu/slb"): (
        "the destination is too old for the processor's section",
        "cpu/slb has version 2 in newer releases; releases up to 7.2 read version 1 only.",
    ),
    ("section-version", None): (
        "the destination is too old for a section's version",
        "spapr_iommu has version 3 from 7.1 on; older releases read version 2.",
    ),
    ("ram-block-size", None): (
        "the two sides have different RAM sizes",
        "The RAM block ppc_spapr.ram has a fixed size: -m must be the same.",
    ),
    ("section-footer", None): (
        "the two sides have different numbers of processors",
        "XIVE's tables have a row for each processor that can be: -smp must be the same, with "
        "maxcpus and threads.",
    ),
    ("cpu-identity", "cpu/compat"): (
        "the destination's processor cannot run the guest's compat mode",
        "max-cpu-compat puts the guest into a mode that this processor does not have.",
    ),
    ("cpu-identity", None): (
        "the destination's processor is another model than the guest's",
        "Without a compat mode pseries takes no other processor version register. A name like "
        "POWER9 means another model in another release.",
    ),
}
"""Summary and explanation, by rule and subsection."""


def _tried(
    model: Model,
    source: tuple[str, Sequence[str]],
    destination: tuple[str, Sequence[str]],
    more: Sequence[str],
) -> bool:
    """Does the destination load (or get past this cause) with *more* arguments?"""
    retried = model.judge(*source, destination[0], [*destination[1], *more])
    return retried.verdict == "loads"


def _device_hints(
    model: Model,
    pair: Pair,
    loaded: Loaded,
    source: tuple[str, Sequence[str]],
    destination: tuple[str, Sequence[str]],
) -> tuple[Hint, ...]:
    assert pair.source is not None
    ours = pair.source
    candidates: list[tuple[str, list[str]]] = []
    rule = loaded.rule
    if rule == "unknown-section":
        candidates.append(
            (
                "give the destination the source's interrupt mode",
                ["-machine", f"ic-mode={ours.ic_mode}"],
            )
        )
    elif rule == "cpu-identity" and loaded.subsection is None and ours.cpu is not None:
        candidates.append(("name the source's processor model", ["-cpu", ours.cpu.name]))
    elif rule == "machine-type" and ours.machine is not None:
        candidates.append(("use the source's machine type", ["-machine", ours.machine.name]))
    return tuple(
        Hint(action=action, command=" ".join(more), side=Side.DESTINATION, verified=Basis.PREDICTED)
        for action, more in candidates
        if _tried(model, source, destination, more)
    )


def _capability_findings(
    model: Model,
    pair: Pair,
    source: tuple[str, Sequence[str]],
    destination: tuple[str, Sequence[str]],
) -> list[Finding]:
    ours, theirs = pair.source, pair.destination
    assert ours is not None
    assert theirs is not None
    sent = dict(ours.sent)
    machine = theirs.machine
    assert machine is not None
    findings = []
    for place, cap in enumerate(theirs.build.capabilities):
        mine = theirs.levels[place]
        level = sent.get(cap.subsection, theirs.defaults[place])
        if level == mine or not cap.compared(machine.version):
            continue
        higher = level > mine
        line = (cap.higher_line if higher else cap.lower_line)(level, mine)
        if cap.subsection in sent:
            why = f"The source sends {level}."
        else:
            why = (
                f"The source sends nothing, so the destination takes its own default, {level}, "
                "for what the source has."
            )
        hints: tuple[Hint, ...] = ()
        if higher:
            option = ["-machine", f"{cap.property_name}={cap.value_name(level)}"]
            retried = model.judge(*source, destination[0], [*destination[1], *option])
            if retried.destination is not None and line not in retried.destination_stderr:
                done = retried.verdict == "loads"
                hints = (
                    Hint(
                        action=f"raise {cap.property_name} on the destination to what it expects",
                        command=" ".join(option),
                        side=Side.DESTINATION,
                        verified=Basis.PREDICTED if done else None,
                    ),
                )
        findings.append(
            Finding(
                rule="capability-higher" if higher else "capability-lower",
                severity=Severity.REFUSES if higher else Severity.WARNS,
                device="spapr",
                instance_id=0,
                subsection=cap.subsection or None,
                field=cap.property_name,
                summary=f"{cap.property_name}: in the stream {level}, on the destination {mine}",
                explanation=why,
                stderr=(line,),
                hints=hints,
            )
        )
    return findings
