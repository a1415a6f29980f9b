"""From a replay to a :class:`~migratable.verdict.Verdict`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from migratable.check import events, kvm
from migratable.check.baseline import Baseline
from migratable.check.registry import ask_rules
from migratable.check.savevm import Replay
from migratable.problem_facts import StartFacts
from migratable.profile.model import Profile
from migratable.stream.model import Stream
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Basis, Finding, Outcome, Refusal, Severity, Verdict

_DAMAGED = "the stream's own description of itself, which is damaged and which no loader reads ({})"

CODE_UNKNOWN = Unchecked(
    "the code of this build: its tables were read, but its own code may refuse more "
    "(a rehearsal shows that)",
    Code.BUILD,
)
_RAM = Unchecked("the contents of RAM", Code.RAM_CONTENTS)


def check(
    stream: Stream,
    profile: Profile | Baseline,
    *,
    source: Mapping[str, Any] | None = None,
    origin: Profile | None = None,
) -> Verdict:
    """Predict whether the destination loads the stream.

    :param profile: the destination; give a :class:`~migratable.check.baseline.Baseline`
        when many streams are checked against one.
    :param source: facts about the source for the report.
    :param origin: the source's profile, when there is one: what it could send later is compared
        with what the destination takes.
    """
    baseline = profile if isinstance(profile, Baseline) else _baseline(profile)
    taken = profile.profile if isinstance(profile, Baseline) else profile
    facts = {**source_facts(stream), **(source or {})}
    if taken.refused:
        return not_started(
            taken.refused,
            source=facts,
            destination=destination_facts(taken),
            release=taken.version.release,
        )
    if baseline is None:
        return Verdict(
            outcome=Outcome.UNKNOWN,
            basis=Basis.PREDICTED,
            source=facts,
            destination=destination_facts(taken),
            unchecked=(
                Unchecked(
                    "everything: the profile has no loader's tables "
                    f"({'; '.join(taken.unchecked) or 'they were not read'}); take it again",
                    Code.PROFILE,
                ),
            ),
        )
    replay = Replay(stream, baseline, origin).qemu_loadvm_state()
    return verdict_of(replay, facts, taken)


def _baseline(profile: Profile) -> Baseline | None:
    return None if profile.loader is None else Baseline(profile, profile.loader)


def verdict_of(replay: Replay, source: Mapping[str, Any], profile: Profile) -> Verdict:
    """Say what a finished replay means; *source* is handed on."""
    first = replay.refusal
    printed = (*profile.stderr, *replay.stderr)
    unknown = list(replay.undecided)
    if first is None:
        printed += stream_end_note(replay)
    if profile.stand_in:
        refused, device = first is not None, None if first is None else first.device
        unknown += kvm.undecided(profile, refused=refused, device=device)
    outcome = Outcome.REFUSED if first is not None else Outcome.LOADS
    if unknown and (first is None or kvm.doubtful(profile, first.device)):
        outcome, first = Outcome.UNKNOWN, None
    known = replay.baseline.code_known
    return Verdict(
        outcome=outcome,
        basis=Basis.PREDICTED,
        final=known or outcome is not Outcome.LOADS,
        source=source,
        destination=destination_facts(profile),
        first_refusal=None if first is None else _refusal(first, printed, tuple(unknown)),
        findings=tuple(replay.findings),
        unchecked=tuple(
            dict.fromkeys(
                [
                    *unknown,
                    *replay.unexamined,
                    *replay.unchecked,
                    *(Unchecked(text, Code.PROFILE) for text in profile.unchecked),
                    *(() if known else (CODE_UNKNOWN,)),
                    *(Unchecked(text, Code.PROFILE) for text in replay.baseline.tables.notes),
                    *(
                        [Unchecked(_DAMAGED.format(damage), Code.STREAM)]
                        if (damage := replay.stream.vmdesc_error)
                        else ()
                    ),
                    _RAM,
                ]
            )
        ),
        stderr=printed,
    )


def stream_end_note(replay: Replay) -> tuple[str, ...]:
    """What QEMU says when no vmdesc follows a stream that it has loaded."""
    from migratable.messages import text  # noqa: PLC0415 -- rarely needed

    stream = replay.stream
    described = stream.vmdesc is not None or stream.vmdesc_error
    if described or replay.baseline.profile.suppress_vmdesc:
        return ()
    return (text("vmdesc-expected", replay.release, type=0),)


def _refusal(first: Finding, stderr: tuple[str, ...], unless: tuple[str, ...]) -> Refusal:
    return Refusal(
        rule=first.rule,
        message=next((line for line in first.stderr if not line.startswith("warning:")), ""),
        device=first.device,
        instance_id=first.instance_id,
        stderr=stderr,
        unless=tuple(dict.fromkeys(unless)),
    )


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
                Unchecked(
                    doubt
                    or "the destination asks for KVM and does not start under TCG: "
                    + (lines[-1] if lines else "it printed nothing"),
                    Code.START,
                ),
            ),
        )
    problem = next(iter(ask_rules(events.NotStarted(release=release, stderr=lines))))
    said = problem.facts.said if isinstance(problem.facts, StartFacts) else ""
    return Verdict(
        outcome=Outcome.REFUSED,
        basis=Basis.PREDICTED,
        source=facts,
        destination=destination or {},
        first_refusal=Refusal(rule=problem.rule, message=said, stderr=lines),
        findings=(
            Finding(
                rule=problem.rule,
                severity=Severity.REFUSES,
                summary=problem.summary,
                stderr=lines,
                facts=problem.facts,
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
