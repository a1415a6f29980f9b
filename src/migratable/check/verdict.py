"""From a replay to a :class:`~migratable.verdict.Verdict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from migratable.check import events, kvm
from migratable.check.baseline import Destination
from migratable.check.problem import Problem
from migratable.check.registry import look, rules
from migratable.check.savevm import Found, Replay
from migratable.profile.model import Profile
from migratable.stream.model import Stream
from migratable.verdict import Basis, Finding, Outcome, Refusal, Severity, Verdict

_DAMAGED = "the stream's own description of itself, which is damaged and which no loader reads ({})"


CODE_UNKNOWN = (
    "the code of this build: its tables were read, what its own code refuses is not known "
    "(a rehearsal tells)"
)


def check(
    stream: Stream,
    profile: Profile | Destination,
    *,
    source: Mapping[str, Any] | None = None,
    origin: Profile | None = None,
) -> Verdict:
    """Predict whether the destination loads the stream.

    :param profile: the destination; give a :class:`~migratable.check.baseline.Destination`
        when many streams are checked against one.
    :param source: facts about the source for the report.
    :param origin: the source's profile, when there is one: what it could send later is compared
        with what the destination takes.
    """
    destination = profile if isinstance(profile, Destination) else _destination(profile)
    taken = destination.profile if isinstance(destination, Destination) else profile
    assert isinstance(taken, Profile)
    facts = {**source_facts(stream), **(source or {})}
    if taken.refused:
        return not_started(
            taken.refused,
            source=facts,
            destination=destination_facts(taken),
            release=taken.version.release,
        )
    if not isinstance(destination, Destination):
        return Verdict(
            outcome=Outcome.UNKNOWN,
            basis=Basis.PREDICTED,
            source=facts,
            destination=destination_facts(taken),
            unchecked=(
                "everything: the profile has no loader's tables "
                f"({'; '.join(taken.unchecked) or 'they were not read'}); take it again",
            ),
        )
    replay = Replay(stream, destination, origin).run()
    return verdict_of(replay, facts, taken)


def _destination(profile: Profile) -> Destination | None:
    return None if profile.loader is None else Destination(profile, profile.loader)


def verdict_of(replay: Replay, source: Mapping[str, Any], profile: Profile) -> Verdict:
    """Say what a finished replay means; *source* is handed on."""
    refusals = [one for one in replay.found if one.problem.refuses]
    first = refusals[0] if refusals else None
    stream_notes = [
        line
        for one in replay.found
        if not one.problem.refuses and one.lines and (first is None or one.order <= first.order)
        for line in one.lines
    ]
    stderr = (*profile.stderr, *stream_notes, *(first.lines if first is not None else ()))
    unknown = [
        reason for order, reason in replay.unexamined if first is None or order < first.order
    ]
    if first is None and stream_end_note(replay):
        stderr = (*stderr, *stream_end_note(replay))
    if profile.stand_in:
        unknown += kvm.undecided(first, profile)
    outcome = Outcome.REFUSED if first is not None else Outcome.LOADS
    if unknown and (first is None or kvm.doubtful(first, profile)):
        outcome, first = Outcome.UNKNOWN, None
    known = replay.destination.code_known
    return Verdict(
        outcome=outcome,
        basis=Basis.PREDICTED,
        final=known or outcome is not Outcome.LOADS,
        source=source,
        destination=destination_facts(profile),
        first_refusal=None if first is None else _refusal(first, stderr, tuple(unknown)),
        findings=tuple(_finding(one) for one in replay.found),
        unchecked=tuple(
            dict.fromkeys(
                [
                    *unknown,
                    *(reason for _, reason in replay.unexamined),
                    *replay.unchecked,
                    *profile.unchecked,
                    *(() if known else (CODE_UNKNOWN,)),
                    *replay.destination.tables.notes,
                    *(
                        [_DAMAGED.format(replay.stream.vmdesc_error)]
                        if replay.stream.vmdesc_error
                        else ()
                    ),
                    "the contents of RAM",
                ]
            )
        ),
        stderr=stderr,
    )


def stream_end_note(replay: Replay) -> tuple[str, ...]:
    """What QEMU says when no vmdesc follows a stream that it has loaded."""
    from migratable.messages import text  # noqa: PLC0415 -- rarely needed

    stream = replay.stream
    described = stream.vmdesc is not None or stream.vmdesc_error
    if described or replay.destination.profile.suppress_vmdesc:
        return ()
    return (text("vmdesc-expected", replay.release, type=0),)


def _refusal(first: Found, stderr: tuple[str, ...], unless: tuple[str, ...]) -> Refusal:
    return Refusal(
        rule=first.problem.rule,
        message=next((line for line in first.lines if not line.startswith("warning:")), ""),
        device=_named(first.problem) or first.device,
        instance_id=first.instance_id,
        stderr=stderr,
        unless=tuple(dict.fromkeys(unless)),
    )


def _finding(found: Found) -> Finding:
    problem = found.problem
    rule = rules().get(problem.rule)
    severity = (
        Severity(problem.severity)
        if problem.severity
        else (Severity.REFUSES if problem.refuses else rule.severity if rule else Severity.INFO)
    )
    return Finding(
        rule=problem.rule,
        severity=severity,
        summary=problem.summary,
        explanation=problem.explanation,
        device=found.device if found.device is not None else _named(problem),
        instance_id=found.instance_id,
        subsection=problem.subsection,
        field=problem.field,
        stderr=found.lines,
        facts=dict(problem.facts),
    )


def _named(problem: Problem) -> str | None:
    """The device that a rule names itself, for what is found outside a section."""
    device = problem.facts.get("device")
    return device if isinstance(device, str) else None


def not_started(
    stderr: Sequence[str],
    *,
    stream: Stream | None = None,
    source: Mapping[str, Any] | None = None,
    destination: Mapping[str, Any] | None = None,
    release: tuple[int, int] = (0, 0),
    only_kvm: bool = False,
    doubt: str = "",
) -> Verdict:
    """The verdict for a destination whose program ends at its start.

    :param stderr: its lines, without its name.
    :param only_kvm: it might start under KVM, which was not tried.
    :param doubt: why the real machine may start all the same.
    """
    facts = {**(source_facts(stream) if stream is not None else {}), **(source or {})}
    lines = tuple(stderr)
    if only_kvm or doubt:
        return Verdict(
            outcome=Outcome.UNKNOWN,
            basis=Basis.PREDICTED,
            source=facts,
            destination=destination or {},
            stderr=lines,
            unchecked=(
                doubt
                or "the destination asks for KVM and does not start under TCG: "
                + (lines[-1] if lines else "it said nothing"),
            ),
        )
    problem = next(iter(look(events.NotStarted(release=release, stderr=lines))))
    message = problem.summary.removeprefix("the destination does not start: ") if lines else ""
    return Verdict(
        outcome=Outcome.REFUSED,
        basis=Basis.PREDICTED,
        source=facts,
        destination=destination or {},
        first_refusal=Refusal(rule=problem.rule, message=message, stderr=lines),
        findings=(
            Finding(
                rule=problem.rule,
                severity=Severity.REFUSES,
                summary=problem.summary,
                stderr=lines,
            ),
        ),
        stderr=lines,
    )


def source_facts(stream: Stream) -> dict[str, Any]:
    """What a stream says of its source."""
    return {
        "machine": stream.machine,
        "sections": len([s for s in stream.sections if s.kind.name in {"START", "FULL"}]),
        "ram_bytes": sum(block.used_length for block in stream.ram_blocks),
        "ram_blocks": len(stream.ram_blocks),
        "container": stream.container,
    }


def destination_facts(profile: Profile) -> dict[str, Any]:
    """What a report says of a destination."""
    version = profile.version
    return {
        "qemu": f"{version.major}.{version.minor}.{version.micro}",
        "package": version.package,
        "machine": profile.machine,
        "cpu": profile.cpu_model,
        "accelerator": profile.accelerator,
        "stand_in_for_kvm": profile.stand_in,
        "kernel": profile.kernel,
    }
