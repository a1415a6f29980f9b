"""From the lines of a failed migration to cause, side and remedy.

What is said about a failure comes from the catalogue of messages, from decoded numbers and from
public cases. A line that nothing recognises is called unknown and shown; its cause is not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import BinaryIO

from migratable.explain import advice
from migratable.explain.also import also
from migratable.explain.audit import Denial, denial
from migratable.explain.cases import matching
from migratable.explain.choice import SOMETIMES_FATAL, main_line
from migratable.explain.details import architecture, details_of, device_of
from migratable.explain.errnos import errno_of, general, meaning_of
from migratable.explain.explanation import Explanation, Report, Status
from migratable.explain.failed_operation import at_fault_here, operation_of, texts
from migratable.explain.failures import Scan, scan
from migratable.explain.filling import fill, for_error
from migratable.explain.grouping import Failure, Line
from migratable.explain.innermost import Wrapped, innermost
from migratable.explain.managers import remedy
from migratable.explain.operation import (
    BOOT_ANEW,
    CUT_FILE,
    SAVE_ANEW,
    Operation,
    applies,
    of_managed_save,
    of_saved,
    saved,
    spoken,
)
from migratable.explain.perspective import only_echoes, seen_from
from migratable.explain.steering import Told, steered
from migratable.explain.together import Log, joined
from migratable.explain.unexplained import (
    beside_an_echo,
    by_own_words,
    nothing_known,
    unknown_lines,
)
from migratable.explain.verify import Reproducible, command
from migratable.messages.catalogue import Fault, Message, Role, message
from migratable.messages.recognise import Match
from migratable.messages.variants import Variant


def explain(stream: BinaryIO, again: Reproducible | None = None) -> Report:
    """Read a log (text, JSON lines, gzip of either) and explain the failed migrations in it.

    :param again: the log as a file that holds the command line.
    :raise OSError: reading or unpacking failed.
    """
    return report(scan(stream), {"": again} if again else {})


def explain_together(logs: Sequence[Log], again: Mapping[str, Reproducible]) -> Report:
    """Explain several logs (of both sides) as one story.

    :param again: the logs that hold a command line, by name.
    """
    return report(joined(logs), again)


def report(found: Scan, again: Mapping[str, Reproducible] | None = None) -> Report:
    """The explanations of what a scan found."""
    explanations = [explain_failure(failure) for failure in found.failures]
    suspicious = tuple(found.suspicious)
    if not explanations:
        explanations, suspicious = by_own_words(suspicious)
    return Report(
        explanations=tuple(
            replace(item, proof=command(item.verify, (again or {}).get(item.log)))
            for item in explanations
        ),
        suspicious=suspicious,
        lines=found.lines,
        bytes=found.bytes,
    )


def explain_failure(failure: Failure) -> Explanation:
    """Everything that can be said about one failure."""
    chosen = main_line(failure)
    unknown = unknown_lines(failure)
    if chosen is None:
        line = (unknown or failure.lines or [Line(number=failure.first, text="")])[-1]
        return nothing_known(failure, line, unknown)
    line, main = chosen
    errno = next(
        (str(m.params["error"]) for _, m in failure.matches if m.message.id == "load-failed"), None
    )
    wrapper = main.message.role is Role.SYMPTOM and main.message.program != "QEMU"
    silent = wrapper and main.message.rule == "destination-start"
    if unknown and (silent or main.message.role in (Role.WHERE, Role.CLOSING, Role.WARNING)):
        return nothing_known(failure, unknown[0], unknown, errno)
    if unknown and main.message.role is Role.SYMPTOM and innermost(line, main) is None:
        return beside_an_echo(failure, unknown[0], unknown, main)
    subject, number = device_of(failure, main)
    details, facts = details_of(failure, main, subject, number, errno)
    known = tuple(matching(failure, main, facts))
    unknown = [line for line in unknown if not any(case.names(line.text) for case in known)]
    which = operation_of(failure, line, main)
    deciding = next((case for case in known if case.certainty != "possible"), None)
    derived = _derived(main, errno, subject) if deciding is None else None
    text = main.message
    rule = (deciding and deciding.rule) or (derived and derived.rule) or text.rule or None
    own, common = advice.of_wording(text, main.text), advice.of_rule(rule)
    if derived is not None:
        own = replace(advice.of_message(derived), verify=own.verify)
    here = text.here if which not in (Operation.MIGRATION, Operation.UNKNOWN) else {}
    own = advice.here(own, here)
    variant = _variant(failure, line, main, which)
    own = advice.varied(own, variant)
    own = seen_from(own, main, failure)
    turned = steered(own, Told(failure=failure, main=main, line=line.text, rule=rule or ""))
    steers = turned.advice.now != own.now
    own = turned.advice
    both = only_echoes(failure, text)
    details.extend(turned.details)
    side = Fault((deciding and deciding.side) or own.side)
    told = (deciding and deciding.now) or ""
    if both:
        known = tuple(
            replace(case, certainty="possible") if case.certainty == "likely" else case
            for case in known
        )
    if side is Fault.CANNOT_TELL:
        side = at_fault_here(failure, main, which, own.side) or side
        own = own if side is Fault.CANNOT_TELL else replace(own, side=side)
    if steers or both:
        now, ever, side, told = own.now, own.ever, own.side, ""
    elif deciding is not None and deciding.rule and deciding.rule != text.rule:
        now, ever = common.now, common.ever
        if not deciding.side:
            side = common.side
    else:
        now, ever = own.now, own.ever
    status = _status(
        failure, text, nothing_else=not known and derived is None, turned=turned.meaning
    )
    meaning = turned.meaning or fill(
        variant.meaning or here.get("meaning") or main.text.meaning or text.meaning, main
    )
    if not told and not both and not (variant.now and variant.log):
        log = "\n".join((failure.command, *texts(failure)))
        managed = remedy(text, line.text, log, now)
        if managed is not None:
            now, ever = managed, "" if "virsh" in ever else ever
    denied = _denial(failure, line, main)
    if denied is not None:
        now, ever, told = denied.now, "", ""
        details.append(denied.said)
    wrapped = innermost(line, main) if deciding is None and not (steers or variant.now) else None
    if wrapped is not None:
        status, meaning, own_now = _wrapped(wrapped, status, meaning)
        now = own_now or now
        details.extend(wrapped.details)
    if which is Operation.RESTORE and rule == "stream-broken" and text.group in _LOADED:
        side, told, ever = Fault.NEITHER, CUT_FILE, ""
        if of_managed_save(texts(failure)):
            told = f"{told} {BOOT_ANEW}"
    elif which is Operation.RESTORE and text.group in _LOADED:
        ever = SAVE_ANEW
        if not (variant.now and variant.operation):
            general = "" if text.role is Role.WHERE and not known else now
            told = of_saved(told or general, known=bool(told or variant.now))
    if derived is not None and not turned.meaning:
        meaning = f"{meaning} {derived.meaning}"
    if which is Operation.RESTORE and text.group in _LOADED:
        meaning = saved(meaning)
        details = [saved(detail) for detail in details]
        known = tuple(
            replace(
                case,
                title=saved(case.title),
                explanation=saved(case.explanation),
                now=saved(case.now),
            )
            for case in known
        )
    if status is Status.UNKNOWN and wrapped is None:
        meaning = f"{meaning} QEMU printed no reason, and no public case fits."
        if errno in _ERRNO_ALONE:
            details.append(f'"{errno}" alone {_ERRNO_ALONE[errno]}')
    references = dict.fromkeys(
        [*text.references, *(reference for case in known for reference in case.references)]
    )
    return Explanation(
        status=status,
        line=line.text,
        number=line.number,
        last=failure.last,
        count=failure.count,
        message=text.id,
        rule=rule,
        side=side,
        meaning=spoken(meaning, which),
        details=tuple(details),
        cases=known,
        references=tuple(references),
        now=spoken(fill(for_error(told or now, _error(main, line)), main), which),
        ever=_prevention(fill((deciding and deciding.ever) or ever, main), which),
        verify=own.verify if not (deciding and deciding.rule) else common.verify,
        device=subject,
        instance_id=number,
        errno=errno,
        qemu_version=failure.qemu_version,
        machine=failure.machine,
        lines=tuple(failure.lines),
        unknown=tuple(unknown),
        programs=tuple(failure.programs),
        log=line.log,
        operation=which,
        both=both,
        origin=(main.origin,) if main.origin else (),
        also=also(failure, line, main),
    )


def _status(failure: Failure, text: Message, *, nothing_else: bool, turned: str) -> Status:
    """What kind of answer *text* is.

    :param nothing_else: neither a case nor a derived message says more.
    :param turned: the meaning that the failure's other lines give it.
    """
    fatal = text.id in SOMETIMES_FATAL and failure.has(Role.WHERE, Role.CLOSING)
    if text.role is Role.WARNING and not fatal:
        return Status.WARNING
    if text.role is Role.SYMPTOM or (text.role is Role.CLOSING and turned):
        return Status.SYMPTOM
    if text.role in (Role.CLOSING, Role.WHERE) and nothing_else:
        return Status.UNKNOWN
    return Status.EXPLAINED


def _error(main: Match, line: Line) -> str:
    """The errno that the message was printed with, else the text that ends the line."""
    said = main.params.get("error")
    return errno_of(main, line.text) or str(said or line.text.rpartition(": ")[2])


_ANY = Variant()


def _variant(failure: Failure, line: Line, main: Match, which: Operation) -> Variant:
    """The message's words for this errno, target, command line or operation.

    A message that tells errnos apart has no remedy for one that it does not know: then the errno's
    general meaning and remedy hold.
    """
    known = main.message.variants
    error = errno_of(main, line.text)
    for variant in known:
        if variant.holds(
            error=error,
            arch=architecture(failure),
            line=line.text,
            log="\n".join((failure.command, *texts(failure))),
            operation=str(which),
        ):
            return variant
    told = f"{main.text.now or main.message.now or ''}"
    if error and any(variant.error for variant in known) and f"{error}: " not in told:
        whole = f"{main.text.meaning or main.message.meaning} {meaning_of(error)}"
        return Variant(meaning=whole, now=general(error))
    return _ANY


def _denial(failure: Failure, line: Line, main: Match) -> Denial | None:
    """SELinux's line about what the error could not use, when the log holds it."""
    error = errno_of(main, line.text)
    if main.message.id != "selinux-denied" and error not in _NO_RIGHT:
        return None
    lines = "\n".join(texts(failure)).split("\n")
    return denial(line.text, [text for text in lines if "context=" in text])


_NO_RIGHT = frozenset({"Permission denied", "Operation not permitted"})


def _prevention(text: str, which: Operation) -> str:
    """What keeps the next one from failing, where it has to do with the operation."""
    return spoken(text, which) if applies(text, which) else ""


def _wrapped(wrapped: Wrapped, status: Status, meaning: str) -> tuple[Status, str, str]:
    """What is said when a wrapper quotes an error that nothing recognises."""
    if status is Status.SYMPTOM:
        status = Status.UNKNOWN  # the cause is in this line, not in another log
    said = meaning.rstrip(" .\"'")
    if said.endswith(wrapped.words):  # the sentence has quoted it already
        return status, f"{said}. {wrapped.short}".strip(), wrapped.now
    return status, f"{meaning} {wrapped.said}".strip(), wrapped.now


# What QEMU says about a state that it loads.
_LOADED = frozenset({"loader", "ram", "devices"})

# What the errno of the closing line narrows down when nothing else was printed.
_ERRNO_ALONE = {
    "Invalid argument": "mostly means that the loader refused what it read: a section or version "
    "that it does not have, a value out of range, or RAM of another size.",
    "Operation not permitted": "is -1: a device's own code refused its state (features, registers, "
    "queue positions); it has nothing to do with rights.",
    "Cannot allocate memory": "means that the host had no memory (or huge pages) left.",
}


def _derived(main: Match, errno: str | None, subject: str | None) -> Message | None:
    """What the errno says when QEMU printed no cause (up to 10.1)."""
    if main.message.role not in (Role.WHERE, Role.CLOSING):
        return None
    if errno == "No such file or directory" and main.message.id != "load-failed":
        return message("derived-subsection")
    if errno == "Input/output error" and subject != "block":  # which writes to disks itself
        return message("derived-stream-end")
    return None
