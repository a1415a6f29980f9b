"""From the lines of a failed migration to cause, side and remedy.

What is said about a failure comes from the catalogue of messages, from decoded numbers and from
public cases. A line that nothing recognises is called unknown and shown; its cause is not guessed.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from migratable.explain import advice, decode, own_words
from migratable.explain.also import Also, also
from migratable.explain.audit import Denial, denial
from migratable.explain.cases import Case, matching
from migratable.explain.choice import SOMETIMES_FATAL, main_line
from migratable.explain.details import architecture, details_of, device_of, errno_hint
from migratable.explain.errnos import errno_of, general, meaning_of
from migratable.explain.failures import Scan, scan
from migratable.explain.filling import fill, for_error
from migratable.explain.grouping import Failure, Line
from migratable.explain.innermost import Wrapped, innermost
from migratable.explain.logs import without_prefix
from migratable.explain.managers import remedy
from migratable.explain.operation import (
    BOOT_ANEW,
    CUT_FILE,
    SAVE_ANEW,
    Operation,
    applies,
    of_managed_save,
    of_saved,
    operation,
    saved,
    spoken,
)
from migratable.explain.perspective import only_echoes, seen_from
from migratable.explain.steering import Told, steered
from migratable.explain.together import Log, joined
from migratable.explain.verify import Reproducible, command
from migratable.messages import qemu_errors
from migratable.messages.catalogue import Fault, Message, Role, message, origins
from migratable.messages.recognise import Match
from migratable.messages.variants import Variant

SCHEMA = "migratable.explain/1"


class Status(enum.StrEnum):
    """How much could be said.

    ``WARNING``: the lines are only warnings; nothing failed because of them.
    ``SYMPTOM``: the log only says that something failed; the cause stands in another log.
    """

    EXPLAINED = "explained"
    WARNING = "warning"
    SYMPTOM = "symptom"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """One failed migration, explained as far as it can be.

    :ivar line: the line that matters, as its program wrote it.
    :ivar number: its place in the input, counted from 1.
    :ivar count: how often the same failure occurs.
    :ivar verify: which command of migratable shows the cause again, "" for none.
    :ivar proof: that command, ready to run; "" without a log that holds the command line.
    :ivar programs: log, QEMU's version and machine type, for each of several logs.
    :ivar both: the log holds both sides' lines, and each only speaks of the other's end.
    :ivar operation: what was being done, as far as the log says.
    :ivar details: decoded numbers and names, one sentence each.
    :ivar origin: where the text stands, when the message's own origins do not say it.
    :ivar also: what is refused in other lines of the failure.
    """

    status: Status
    line: str
    number: int
    last: int
    count: int
    message: str | None
    rule: str | None
    side: Fault
    meaning: str
    details: tuple[str, ...] = ()
    cases: tuple[Case, ...] = ()
    references: tuple[str, ...] = ()
    now: str = ""
    ever: str = ""
    verify: str = ""
    proof: str = ""
    device: str | None = None
    instance_id: int | None = None
    errno: str | None = None
    qemu_version: str = ""
    machine: str = ""
    lines: tuple[Line, ...] = ()
    unknown: tuple[Line, ...] = ()
    programs: tuple[tuple[str, str, str], ...] = ()
    log: str = ""
    operation: Operation = Operation.UNKNOWN
    both: bool = False
    origin: tuple[str, ...] = ()
    also: tuple[Also, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The explanation as the JSON contract has it."""
        return {
            "status": str(self.status),
            "line": self.line,
            "line_number": self.number,
            "last_line_number": self.last,
            "count": self.count,
            "message": self.message,
            "origin": list(self.origin) or origins().get(self.message or "", {}).get("origin", []),
            "rule": self.rule,
            "side": str(self.side),
            "operation": str(self.operation) or None,
            "meaning": self.meaning,
            "details": list(self.details),
            "known_cases": [case.to_json() for case in self.cases],
            "references": list(self.references),
            "do_now": self.now,
            "do_for_ever": self.ever,
            "proof": self.proof,
            "device": self.device,
            "instance_id": self.instance_id,
            "errno": self.errno,
            "qemu_version": self.qemu_version or None,
            "machine": self.machine or None,
            "logs": [
                {"log": log, "qemu_version": version or None, "machine": machine or None}
                for log, version, machine in self.programs
            ],
            "lines": [_line_json(line) for line in self.lines],
            "unknown_lines": [_line_json(line) for line in self.unknown],
            "also": [item.to_json() for item in self.also],
        }


def _line_json(line: Line) -> dict[str, Any]:
    return {
        **({"log": line.log} if line.log else {}),
        "line_number": line.number,
        "text": line.text,
        "messages": [match.message.id for match in line.matches],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a log says about failed migrations.

    :ivar suspicious: lines of a small input that look like errors and that nothing recognised.
    """

    explanations: tuple[Explanation, ...]
    suspicious: tuple[Line, ...]
    lines: int
    bytes: int

    @property
    def exit_status(self) -> int:
        """0: all explained (or nothing found); 3: something is unknown.

        A line of QEMU that looks like an error and is not known may be the cause. Another
        program's may when it stands before what was explained; behind it, it tells the outcome.
        """
        unknown = any(item.status is Status.UNKNOWN for item in self.explanations)
        unknown |= any(line.qemu for item in self.explanations for line in item.unknown)
        told = min(
            (item.number for item in self.explanations if item.status is Status.EXPLAINED),
            default=self.lines + 1,
        )
        unknown |= any(line.qemu or line.number < told for line in self.suspicious)
        return 3 if unknown else 0

    def to_json(self) -> dict[str, Any]:
        """One object for a program (schema ``migratable.explain/1``)."""
        return {
            "schema": SCHEMA,
            "input": {"lines": self.lines, "bytes": self.bytes},
            "failures": [item.to_json() for item in self.explanations],
            "unknown_lines": [_line_json(line) for line in self.suspicious],
        }


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
        explanations, suspicious = _by_own_words(suspicious)
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
    unknown = _unknown(failure)
    if chosen is None:
        line = (unknown or failure.lines or [Line(number=failure.first, text="")])[-1]
        return _nothing_known(failure, line, unknown)
    line, main = chosen
    errno = next(
        (str(m.params["error"]) for _, m in failure.matches if m.message.id == "load-failed"), None
    )
    wrapper = main.message.role is Role.SYMPTOM and main.message.program != "QEMU"
    silent = wrapper and main.message.rule == "destination-start"
    if unknown and (silent or main.message.role in (Role.WHERE, Role.CLOSING, Role.WARNING)):
        return _nothing_known(failure, unknown[0], unknown, errno)
    if unknown and main.message.role is Role.SYMPTOM and innermost(line, main) is None:
        return _beside_an_echo(failure, unknown[0], unknown, main)
    subject, number = device_of(failure, main)
    details, facts = details_of(failure, main, subject, number, errno)
    known = tuple(matching(failure, main, facts))
    unknown = [line for line in unknown if not any(case.names(line.text) for case in known)]
    which = operation(_texts(failure))
    of_table = main.message.group in (qemu_errors.GROUP, "qmp")
    if which is Operation.UNKNOWN and (
        main.message.group in _STARTS
        or (of_table and _OPTION.search(line.text))
        or (
            main.message.rule in (_REFUSED if of_table else _ON_THIS_HOST)
            and main.message.group != "libvirt"  # its words are mostly met in migrations
            and advice.of_message(main.message).side is Fault.DESTINATION
            and not _CONNECTS.search(line.text)
        )
    ):
        which = Operation.START
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
    alone = which in (Operation.START, Operation.SAVE, Operation.SNAPSHOT)
    if alone and side is Fault.CANNOT_TELL and text.rule in _ON_THIS_HOST:
        side = own.side if own.side is not Fault.CANNOT_TELL else Fault.DESTINATION
        own = replace(own, side=side)
    if (
        side is Fault.CANNOT_TELL
        and text.program == "QEMU"
        and (_starts(failure) or (of_table and which is Operation.START))
    ):
        side = Fault.DESTINATION
        own = replace(own, side=side)
    if steers or both:
        now, ever, side, told = own.now, own.ever, own.side, ""
    elif deciding is not None and deciding.rule and deciding.rule != text.rule:
        now, ever = common.now, common.ever
        if not deciding.side:
            side = common.side
    else:
        now, ever = own.now, own.ever
    status = Status.EXPLAINED
    if text.role is Role.WARNING and not (
        text.id in SOMETIMES_FATAL and failure.has(Role.WHERE, Role.CLOSING)
    ):
        status = Status.WARNING
    elif text.role is Role.SYMPTOM or (text.role is Role.CLOSING and turned.meaning):
        status = Status.SYMPTOM
    elif text.role in (Role.CLOSING, Role.WHERE) and not known and derived is None:
        status = Status.UNKNOWN
    meaning = turned.meaning or fill(
        variant.meaning or here.get("meaning") or main.text.meaning or text.meaning, main
    )
    if not told and not both and not (variant.now and variant.log):
        log = "\n".join((failure.command, *_texts(failure)))
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
        if of_managed_save(_texts(failure)):
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
            log="\n".join((failure.command, *_texts(failure))),
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
    lines = "\n".join(_texts(failure)).split("\n")
    return denial(line.text, [text for text in lines if "context=" in text])


# Programs that carry a connection to another host: it is the client's side that starts them.
_CONNECTS = re.compile(r"cannot execute binary (?:\S*/)?(?:ssh|nc|ncat|netcat|virt-ssh-helper)\b")

_NO_RIGHT = frozenset({"Permission denied", "Operation not permitted"})


def _starts(failure: Failure) -> bool:
    """Do libvirt's words say that the QEMU which printed this was being started?"""
    return any(match.message.id == "libvirt-process-exited" for _, match in failure.matches)


def _texts(failure: Failure) -> list[str]:
    """The lines by which the operation is told."""
    return [
        failure.around.decode("utf-8", "replace"),
        *(line.text[:LONGEST] for line in (*failure.lines, *failure.unrecognised)),
    ]


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


# Rules of what is wrong on the one host where a guest is started, saved or kept.
_ON_THIS_HOST = frozenset({"destination-start", "kvm-host"})
# QEMU names the option of its command line at which it gave up; a monitor's command has none.
_OPTION = re.compile(r"(?:qemu[\w-]*|kvm): -[a-z][\w-]* \S.*: ")
# The same of QEMU's errors without an entry: no definition or processor is refused but at a start.
_REFUSED = _ON_THIS_HOST | {"cpu-features", "configuration"}
# What QEMU says about a state that it loads.
_LOADED = frozenset({"loader", "ram", "devices"})
# Characters of a line in which the operation is looked for.
LONGEST = 2000
# QEMU's words for what it cannot start with; in a log that speaks of no migration, a start.
_STARTS = frozenset(
    {"start", "start_more", "start_options", "start_host", "start_block", "start_net"}
)

# What the errno of the closing line narrows down when nothing else was printed.
_ERRNO_ALONE = {
    "Invalid argument": "mostly means that the loader refused what it read: a section or version "
    "that it does not have, a value out of range, or RAM of another size.",
    "Operation not permitted": "is -1: a device's own code refused its state (features, registers, "
    "queue positions); it has nothing to do with rights.",
    "Cannot allocate memory": "means that the host had no memory (or huge pages) left.",
}


# A device's section begins with its place on a bus.
_PLUGGED = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/")
_UNPLUG = (
    "Use the same QEMU release with the same options of {subject} on both sides. If it stays, take "
    "the device out of the guest before (device_del, virsh detach-device) and add it again "
    "afterwards, or stop and start the guest; look for the line in QEMU's issues."
)


def _nothing_known(
    failure: Failure, line: Line, unknown: list[Line], errno: str | None = None
) -> Explanation:
    subject, number = device_of(failure, None)
    plugged = subject is not None and line.qemu and _PLUGGED.match(subject) is not None
    where = f" The state of the device {subject} was being loaded: its own code refused or failed."
    where = where if plugged and failure.has(Role.WHERE) else ""
    details = []
    hint = errno_hint(line.text)
    if hint:
        details.append(hint)
    if subject and decode.section(subject):
        details.append(f"'{subject}' is {decode.section(subject)}.")
    return Explanation(
        status=Status.UNKNOWN,
        line=line.text,
        number=line.number,
        last=failure.last,
        count=failure.count,
        message=None,
        rule=None,
        side=Fault.CANNOT_TELL,
        meaning=f"This line is not known. It stands where QEMU prints the cause.{where}",
        now=_UNPLUG.format(subject=subject) if where else "",
        details=tuple(details),
        verify="check",
        device=subject,
        instance_id=number,
        errno=errno,
        qemu_version=failure.qemu_version,
        machine=failure.machine,
        lines=tuple(failure.lines),
        unknown=tuple(unknown),
        programs=tuple(failure.programs),
        log=line.log,
    )


def _by_own_words(lines: tuple[Line, ...]) -> tuple[list[Explanation], tuple[Line, ...]]:
    """The unknown line that says most of itself, explained by that; and the others."""
    told = own_words.best(lines)
    if told is None:
        return [], lines
    line, words = told
    one = Explanation(
        status=Status.UNKNOWN,
        line=line.text,
        number=line.number,
        last=line.number,
        count=1,
        message=None,
        rule=None,
        side=Fault.CANNOT_TELL,
        meaning=words.meaning,
        now=words.now,
        lines=(line,),
        log=line.log,
    )
    return [one], tuple(other for other in lines if other is not line)


def _beside_an_echo(failure: Failure, line: Line, unknown: list[Line], main: Match) -> Explanation:
    """An error that is not known, beside one that only tells that something failed."""
    said = fill(main.text.meaning or main.message.meaning, main)
    own = seen_from(advice.of_wording(main.message, main.text), main, failure)
    return replace(
        _nothing_known(failure, line, unknown),
        meaning="This line is not known; it is the likeliest cause. What is known beside it only "
        f"tells the outcome: {said}",
        now=f"Start with this line, and what its program logged before it. "
        f"{fill(own.now, main)}".strip(),
        message=None,
    )


def _unknown(failure: Failure) -> list[Line]:
    """Lines of QEMU among the failure's that nothing recognised, one of each text."""
    known = {without_prefix(line.text) for line in failure.lines}
    kept: dict[str, Line] = {}
    for line in failure.unrecognised:
        words = without_prefix(line.text)
        if words not in known:
            kept.setdefault(words, line)
    return list(kept.values())


def _derived(main: Match, errno: str | None, subject: str | None) -> Message | None:
    """What the errno says when QEMU printed no cause (up to 10.1)."""
    if main.message.role not in (Role.WHERE, Role.CLOSING):
        return None
    if errno == "No such file or directory" and main.message.id != "load-failed":
        return message("derived-subsection")
    if errno == "Input/output error" and subject != "block":  # which writes to disks itself
        return message("derived-stream-end")
    return None
