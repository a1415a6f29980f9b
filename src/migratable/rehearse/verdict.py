"""From the result of a rehearsal to a :class:`~migratable.verdict.Verdict`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from migratable import redact
from migratable.check.verdict import source_facts
from migratable.explain.explanation import Explanation, Status
from migratable.explain.grouping import Failure, Line
from migratable.explain.story import explain_failure
from migratable.facts.kvm import ACCELERATOR_NAMES
from migratable.messages import Role
from migratable.messages.recognise import recognise
from migratable.messages.setting import said
from migratable.profile.collect import may_start_under_kvm
from migratable.rehearse.alive import Guest
from migratable.rehearse.destination import Rehearsed
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Basis, Finding, Hint, Outcome, Refusal, Severity, Verdict

START = "destination-start"
CRASH = "destination-crash"
NOT_RECOGNISED = "unrecognised"

_QUIET = re.compile(r"(?:-\S+ \S+: )?(?:warning|info): |char device redirected| is deprecated")
_OF_TCG = "TCG doesn't support requested feature"
_MANY = 400
_MADE_UP = Unchecked("contents of guest memory (the rehearsal leaves them out)", Code.RAM_CONTENTS)


def verdict(done: Rehearsed, *, source: dict[str, Any] | None = None) -> Verdict:
    """The answer of one destination, with everything that it printed explained."""
    refusal, explanation = (None, None) if _loaded(done) else _refusal(done)
    doubts = (
        [*_stand_in(done), *_assumed(done)] if refusal is None else list(_doubts(done, refusal))
    )
    outcome = Outcome.LOADS if refusal is None else Outcome.REFUSED
    if doubts:
        outcome = Outcome.UNKNOWN
    findings = list(_findings(done, refusal, explanation))
    unchecked = [
        *(Unchecked(text, Code.ASSUMED) for text in (*doubts, *done.quiet.unchecked)),
        *(Unchecked(text, Code.REHEARSAL) for text in done.unchecked),
    ]
    if not done.whole and done.load is not None:
        unchecked.append(_MADE_UP)
    facts = {name: value for name, value in done.facts.items() if name != "ram_blocks"}
    facts["command_line"] = list(redact.words(done.command_line))
    if done.guest is not None:
        facts["guest"] = done.guest.to_json()
        findings.append(_guest(done.guest))
    return Verdict(
        outcome=outcome,
        basis=Basis.REHEARSED,
        source={**source_facts(done.stream), **(source or {})},
        destination=facts,
        first_refusal=refusal,
        findings=tuple(findings),
        unchecked=tuple(dict.fromkeys(unchecked)),
        stderr=done.stderr,
    )


def _assumed(done: Rehearsed) -> list[str]:
    """Sections whose layout is a guess, so that loading them proves nothing."""
    kinds = {section.idstr.rpartition("/")[2] for section in done.stream.devices}
    return [why for kind, why in done.quiet.assumed_sections.items() if kind in kinds]


def _stand_in(done: Rehearsed) -> list[str]:
    """Another accelerator proves nothing about a destination under KVM that loads the guest."""
    if not done.quiet.stand_in:
        return []
    why = f" ({done.quiet.why_not_kvm})" if done.quiet.why_not_kvm else ""
    name = ACCELERATOR_NAMES[done.quiet.accelerator]
    return [
        f"the destination's KVM: this machine does not have it{why}. {name} stood in for it "
        "and loads the guest; whether KVM starts this machine and takes its registers was not tried"
    ]


def _loaded(done: Rehearsed) -> bool:
    return done.load is not None and done.load.completed


def first_error(lines: Sequence[str]) -> str:
    """The first line that is no warning; the first of all when they are all warnings."""
    return next((line for line in lines if not _QUIET.match(line)), lines[0] if lines else "")


def _refusal(done: Rehearsed) -> tuple[Refusal, Explanation | None]:
    """The refusal, its rule taken from the lines."""
    if done.load is None:
        message = first_error(done.stderr) or done.start_status
        return Refusal(rule=START, message=message, stderr=done.stderr), None
    lines = done.stderr[done.before :] or done.stderr
    crashed = done.load.crashed
    if crashed is not None:
        message = first_error(lines) or f"the program ended by {crashed} and printed nothing"
        return Refusal(rule=CRASH, message=message, stderr=done.stderr), None
    message = first_error(lines) or f"exit status {done.load.exit_status}, and it printed nothing"
    explanation = explained(lines)
    refusal = Refusal(
        rule=explanation.rule or NOT_RECOGNISED,
        device=explanation.device,
        instance_id=explanation.instance_id,
        message=message,
        stderr=done.stderr,
    )
    return refusal, explanation


def explained(lines: Sequence[str]) -> Explanation:
    """What the knowledge base says about the lines of one failed load."""
    failure = Failure(stream="", closed=True, first=1, last=len(lines))
    chosen = lines if len(lines) <= _MANY else (*lines[: _MANY // 2], *lines[-_MANY // 2 :])
    for number, text in enumerate(chosen, 1):
        matches = tuple(
            match
            for match in recognise(text, tables=False)
            if match.message.role is not Role.CONTEXT
        )
        line = Line(number=number, text=text, qemu=True, matches=matches)
        if matches:
            failure.lines.append(line)
        elif not _QUIET.match(text):
            failure.unrecognised.append(line)
    return explain_failure(failure)


def _findings(
    done: Rehearsed, refusal: Refusal | None, explanation: Explanation | None
) -> list[Finding]:
    findings: list[Finding] = []
    if refusal is not None:
        findings.append(_refused(done, refusal, explanation))
    for text in dict.fromkeys(done.stderr[:_MANY]):
        for match in recognise(text, tables=False):
            role = match.message.role
            if _OF_TCG in text:
                continue  # of any line for TCG with a model that it has in part
            if role is Role.WARNING or (refusal is None and role is Role.CAUSE):
                grave = role is Role.CAUSE and not match.message.warning
                findings.append(
                    Finding(
                        rule=match.message.rule or NOT_RECOGNISED,
                        severity=Severity.ENDANGERS if grave else Severity.WARNS,
                        summary=text,
                        explanation=said(match.message.meaning),
                        stderr=(text,),
                    )
                )
    return findings


_GUEST = {
    "runs": "the guest runs on",
    "stands-still": "QEMU loads the guest, which then hangs",
    "stuck": "QEMU loads the guest, some vCPUs of which then hang",
    "crashed": "QEMU loads the guest, which then crashes",
    "unknown": "whether the guest keeps running could not be observed",
}


def _guest(guest: Guest) -> Finding:
    return Finding(
        rule="guest-goes-on",
        severity=Severity.INFO if guest.state == "runs" else Severity.ENDANGERS,
        summary=f"{_GUEST[guest.state]} (watched for {guest.seconds:.0f} s)",
        explanation="\n".join([*guest.reasons, *(f"console: {line}" for line in guest.console)]),
    )


def _refused(done: Rehearsed, refusal: Refusal, explanation: Explanation | None) -> Finding:
    if done.load is None:
        summary = "the destination's QEMU does not start with this command line"
        return Finding(
            rule=refusal.rule,
            severity=Severity.REFUSES,
            summary=summary,
            explanation=done.start_status,
            stderr=done.stderr,
        )
    if explanation is None:
        return Finding(
            rule=refusal.rule,
            severity=Severity.REFUSES,
            summary=f"the destination crashed while loading ({done.load.crashed})",
            explanation="This stream triggers a fault of that QEMU; a migration would end in the "
            "same way.",
            stderr=done.stderr[done.before :],
        )
    known = explanation.status is not Status.UNKNOWN
    now = (Hint(action=explanation.now.rstrip(".")),) if known and explanation.now else ()
    return Finding(
        rule=refusal.rule,
        severity=Severity.REFUSES,
        summary=explanation.meaning if known else refusal.message,
        explanation="\n".join(explanation.details),
        device=refusal.device,
        instance_id=refusal.instance_id,
        stderr=done.stderr[done.before :],
        hints=now,
    )


def _doubts(done: Rehearsed, refusal: Refusal) -> list[str]:
    """Why this refusal may be the rehearsal's own and not the real destination's."""
    quiet = done.quiet
    doubts: list[str] = []
    size = quiet.assumed_size_in(done.stderr)
    if size is not None:
        doubts.append(f"an image is not on this machine; {size} bytes were put in its place")
    if refusal.rule == START:
        if may_start_under_kvm(quiet, done.stderr):
            doubts.append(
                "the destination was started under a stand-in and did not start; under KVM, for "
                "which its command line asks, it may"
            )
        return doubts
    text = "\n".join(done.stderr[done.before :])
    if done.doubts and re.search(r"vtd_|IOMMU|AHCI|inconsistent with Host|last_avail_idx", text):
        doubts += [f"the refusal may be the rehearsal's own: {doubt}" for doubt in done.doubts]
    if quiet.removed_devices and refusal.rule in {"unknown-section", "ram-block-unknown"}:
        names = ", ".join(filter(None, sorted(quiet.removed_devices)))
        doubts.append(
            "devices that cannot be started on this machine were left out"
            + (f" ({names})" if names else "")
        )
    if refusal.device == "cpu" and quiet.stand_in_cpu:
        doubts.append("this machine does not have the destination's processor")
    poorer = quiet.assumed_backends.get((refusal.device or "").rpartition("/")[2])
    if poorer and refusal.rule in {"virtio-vnet-header", "virtio-features", "virtio-queues"}:
        doubts.append(f"{refusal.device}: {poorer}")
    assumed = quiet.assumed_sections.get((refusal.device or "").rpartition("/")[2])
    if assumed is not None:
        doubts.append(assumed)
    return doubts
