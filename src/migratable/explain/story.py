"""From the lines of a failed migration to cause, side and remedy.

What is said about a failure comes from the catalogue of messages, from decoded numbers and from
public cases. A line that nothing recognises is called unknown and shown; its cause is not guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import BinaryIO

from migratable.explain import advice, crashes, session
from migratable.explain.also import MOST, also
from migratable.explain.audit import Denial, denial
from migratable.explain.cases import Case, matching
from migratable.explain.choice import SOMETIMES_FATAL, main_line, only_minor
from migratable.explain.details import architecture, details_of, device_of
from migratable.explain.ends import completed
from migratable.explain.errnos import errno_of, general, meaning_of
from migratable.explain.explanation import Explanation, Report, Status, of_failure
from migratable.explain.failed_operation import at_fault_here, operation_of, texts
from migratable.explain.failures import Scan, scan
from migratable.explain.filling import fill, for_error
from migratable.explain.fulfilled import still_open
from migratable.explain.grouping import Failure, Line
from migratable.explain.innermost import Wrapped, end_of_cause, inner_cause, innermost
from migratable.explain.managers import over_cases, remedy, seen
from migratable.explain.operation import (
    BOOT_ANEW,
    CUT_FILE,
    SAVE_ANEW,
    Operation,
    of_managed_save,
    of_saved,
    setting,
)
from migratable.explain.perspective import OTHER_LOGS, only_echoes, printer, seen_from
from migratable.explain.phrases import Told as Phrase
from migratable.explain.steering import Told, steered
from migratable.explain.together import Log, joined
from migratable.explain.unexplained import (
    beside_an_echo,
    by_own_words,
    nothing_known,
    phrases_beside,
    unknown_lines,
)
from migratable.explain.verify import Reproducible, command
from migratable.messages.catalogue import Fault, Message, Role, message
from migratable.messages.recognise import Match
from migratable.messages.setting import Setting, asks_for_logs, said
from migratable.messages.sides import tells_side
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
    suspicious = tuple(found.suspicious or ([] if explanations else found.weak))
    if not explanations:
        explanations, suspicious = by_own_words(suspicious, found.text)
    explanations, suspicious = _with_phrases(explanations, suspicious, found.text)
    lines = found.text.split("\n")
    explanations = [
        _gone_well(item, completed(lines, item.number, away=item.message in _AWAY))
        for item in explanations
    ]
    return Report(
        explanations=tuple(
            replace(item, proof=command(item.verify, (again or {}).get(item.log)))
            for item in explanations
        ),
        suspicious=suspicious,
        lines=found.lines,
        bytes=found.bytes,
    )


# Lines before a known error in which an unknown one that ends in a phrase tells of the same.
_BEFORE = 12


def _with_phrases(
    items: list[Explanation], suspicious: tuple[Line, ...], around: str
) -> tuple[list[Explanation], tuple[Line, ...]]:
    """*items* with the unknown lines right before them whose end is known; and the other lines."""
    left = list(suspicious)
    told = []
    for item in items:
        near = [
            line
            for line in left
            if line.log == item.log and 0 < item.number - line.number <= _BEFORE
        ]
        beside = phrases_beside(near, around)
        left = [line for line in left if all(line is not one.line for one in beside)]
        first = {one.message: one for one in reversed(beside)}
        said = [one for one in beside if first[one.message] is one]
        told.append(replace(item, also=(*item.also, *said)[: max(MOST, len(item.also))]))
    return told, tuple(left)


# What is said of a guest that is not here (any more).
_AWAY = frozenset({"op-no-domain", "op-not-running"})


def _gone_well(item: Explanation, end: str) -> Explanation:
    """*item* as a warning where the migration goes on to its good *end*."""
    if not end or item.status is Status.WARNING:
        return item
    return replace(
        item,
        status=Status.WARNING,
        likely=False,
        details=(*item.details, f'The migration went well ("{end}"): this did not stop it.'),
        now="See that the guest runs on the other host; if it does, nothing has to be done for it. "
        f"If this line comes again and is in the way: {item.now}".removesuffix(": "),
    )


def explain_failure(failure: Failure) -> Explanation:
    """Everything that can be said about one failure."""
    failure = crashes.without_the_end(failure)
    chosen = main_line(failure)
    unknown = unknown_lines(failure)
    if chosen is None:
        line = (unknown or failure.lines or [Line(number=failure.first, text="")])[-1]
        return nothing_known(failure, line, unknown)
    line, main = chosen
    errno = next(
        (str(m.params["error"]) for _, m in failure.matches if m.message.id == "load-failed"), None
    )
    if unknown:
        instead = _unknown_instead(failure, line, main, unknown, errno)
        if instead is not None:
            return instead
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
    reads = setting(which, of_the_load=text.of_the_load)
    here = text.here if reads is not Setting.MOVING else {}
    variant = _variant(failure, line, main, which)
    own = seen_from(advice.varied(advice.here(own, here), variant), main, failure)
    turned = steered(own, Told(failure=failure, main=main, line=line.text, rule=rule or ""))
    steers = turned.advice.now != own.now
    own = turned.advice
    both = only_echoes(failure, text)
    draft = _Draft(
        status=_status(
            failure,
            text,
            nothing_else=not known and derived is None,
            turned=turned.meaning,
            harmless=variant.harmless,
        ),
        side=Fault((deciding and deciding.side) or own.side),
        meaning=turned.meaning
        or fill(
            variant.meaning or here.get("meaning") or main.text.meaning or text.meaning, main, reads
        ),
        details=[*(said(detail, reads) for detail in details), *turned.details],
        cases=_possible(known) if both else known,
        now=own.now,
        prevent=own.prevent,
        told=(deciding and deciding.now) or "",
    )
    if turned.explained:
        draft.status = Status.EXPLAINED
    if draft.side is Fault.CANNOT_TELL:
        draft.side = at_fault_here(failure, main, which, own.side) or draft.side
        own = own if draft.side is Fault.CANNOT_TELL else replace(own, side=draft.side)
    if steers or both:
        draft.side, draft.told = own.side, ""
    elif deciding is not None and deciding.rule and deciding.rule != text.rule:
        draft.now, draft.prevent = common.now, common.prevent
        draft.side = draft.side if deciding.side else common.side
    over = over_cases(text, line.text, _log(failure)) if draft.told and not both else None
    if over is not None:
        draft.told = over
    if not draft.told and not both and not (variant.now and variant.log):
        draft.managed(remedy(text, line.text, _log(failure), draft.now))
    draft.denied(_denial(failure, line, main))
    wrapped = innermost(line, main) if deciding is None and not (steers or variant.now) else None
    if wrapped is not None:
        draft.status, draft.meaning, own_now = _wrapped(wrapped, draft.status, draft.meaning)
        draft.now = own_now or draft.now
        draft.details.extend(wrapped.details)
    elif deciding is None and not (steers or variant.now):
        inner = inner_cause(line, main)
        if inner is not None:
            draft.caused_by(*_words_of(failure, line, inner, which, reads))
        else:
            draft.ended_by(end_of_cause(line, main), own=bool(text.now or main.text.now))
    if reads is Setting.LOADING:
        _fix_of_saved(draft, failure, main, variant, torn=rule == "stream-broken")
    if derived is not None and not turned.meaning:
        draft.meaning = f"{draft.meaning} {said(derived.meaning, reads)}"
    draft.cases = tuple(case.said(reads) for case in draft.cases)
    if draft.status is Status.UNKNOWN and wrapped is None:
        draft.no_reason(errno)
    told = for_error(draft.told or draft.now, _error(main, line))
    both_logs = failure.of_several_logs and asks_for_logs(told)
    remains = still_open(fill(told, main, reads, both_logs=both_logs), failure, which)
    named = session.guest(failure)
    draft.details.extend([remains.said] if remains.said else [])
    references = dict.fromkeys(
        [*text.references, *(reference for case in draft.cases for reference in case.references)]
    )
    return replace(
        of_failure(failure, line, unknown),
        status=draft.status,
        message=text.id,
        rule=rule,
        side=draft.side,
        side_shown=which is not Operation.UNKNOWN or both or _shows_side(draft.side, main, line),
        meaning=draft.meaning,
        details=tuple(draft.details),
        cases=draft.cases,
        references=tuple(references),
        now=_of_guest(f"{remains.now} {OTHER_LOGS}".strip() if both_logs else remains.now, named),
        prevent=fill((deciding and deciding.prevent) or draft.prevent, main, reads),
        verify=own.verify if not (deciding and deciding.rule) else common.verify,
        device=subject,
        instance_id=number,
        errno=errno,
        operation=which,
        likely=wrapped is not None and wrapped.likely,
        both=both,
        origin=(main.origin,) if main.origin else (),
        also=also(failure, line, main, reads),
    )


def _unknown_instead(
    failure: Failure, line: Line, main: Match, unknown: list[Line], errno: str | None
) -> Explanation | None:
    """The answer where an unknown line says more than the known one; None where it does not."""
    role = main.message.role
    wrapper = role is Role.SYMPTOM and main.message.program != "QEMU"
    silent = wrapper and main.message.rule == "destination-start"
    if silent or role in (Role.WHERE, Role.CLOSING, Role.WARNING):
        return nothing_known(failure, unknown[0], unknown, errno)
    earlier = [one for one in unknown if one.number < line.number or main.message.rank < 0]
    if role is Role.CAUSE and only_minor(failure) and earlier:
        return nothing_known(failure, earlier[0], unknown, errno)
    around = _variant(failure, line, main, operation_of(failure, line, main))
    if role is Role.SYMPTOM and innermost(line, main) is None and not (around.log and around.now):
        errors = [one for one in unknown if one.qemu or not _WARNED.search(one.text)]
        return beside_an_echo(failure, errors, unknown, main) if errors else None
    return None


# The level of a log's line that is no error's.
_WARNED = re.compile(r"\b(?:WARN(?:ING|I)?|INFO|NOTICE|DEBUG)\b")


def _shows_side(side: Fault, main: Match, line: Line) -> bool:
    """Is *side* known although no line tells what was being done?"""
    open_ = side in (Fault.NEITHER, Fault.CANNOT_TELL)
    return open_ or printer(line) is not None or tells_side(main.message, line.text)


@dataclass(slots=True, kw_only=True)
class _Draft:
    """An explanation while it is made: each step sees what the ones before it have said.

    :ivar told: the remedy of what decides, before ``now``; "" where nothing does.
    """

    status: Status
    side: Fault
    meaning: str
    details: list[str]
    cases: tuple[Case, ...]
    now: str
    prevent: str
    told: str

    def managed(self, remedy: str | None) -> None:
        """The manager's own remedy, where it has one."""
        if remedy is not None:
            self.now, self.prevent = remedy, "" if "virsh" in self.prevent else self.prevent

    def ended_by(self, phrase: Phrase | None, *, own: bool) -> None:
        """The known line ends in a phrase, which says more of the cause.

        :param own: the remedy is the message's, and not its rule's.
        """
        if phrase is None:
            return
        self.meaning = f"{self.meaning.rstrip()} Likely cause: {phrase.means}"
        self.now = f"{phrase.now} {self.now}".strip() if own else phrase.now
        self.details.extend(phrase.details)

    def caused_by(self, meaning: str, now: str) -> None:
        """The known line quotes another error, which is its cause."""
        self.meaning, self.now = f"{self.meaning.rstrip()} Its cause: {meaning}", now

    def denied(self, denied: Denial | None) -> None:
        """SELinux's line says more about a right than the error does."""
        if denied is not None:
            self.now, self.prevent, self.told = denied.now, "", ""
            self.details.append(denied.said)

    def no_reason(self, errno: str | None) -> None:
        """QEMU printed none; the errno alone narrows it down."""
        self.meaning = f"{self.meaning} QEMU printed no reason, and no public case fits."
        if errno in _ERRNO_ALONE:
            self.details.append(f'"{errno}" alone {_ERRNO_ALONE[errno]}')


def _fix_of_saved(
    draft: _Draft, failure: Failure, main: Match, variant: Variant, *, torn: bool
) -> None:
    """What helps when a state that one host saved is not loaded.

    :param torn: the state ends too early.
    """
    if torn and not (variant.now and (variant.operation or variant.log)):
        draft.side, draft.told, draft.prevent = Fault.NEITHER, CUT_FILE, ""
        if of_managed_save(texts(failure)):
            draft.told = f"{draft.told} {BOOT_ANEW}"
        return
    draft.prevent = SAVE_ANEW
    if session.saved_here(failure) and not (variant.now and (variant.operation or variant.log)):
        draft.told = session.OWN_STATE
        return
    if not (variant.now and variant.operation):
        general = "" if main.message.role is Role.WHERE and not draft.cases else draft.now
        owner = seen(_log(failure))
        draft.told = of_saved(
            draft.told or general,
            known=bool(draft.told or variant.now),
            how=owner.drops if owner else "",
        )


def _of_guest(text: str, name: str) -> str:
    """*text* with the guest's own log."""
    return text.replace("/qemu/NAME.log", f"/qemu/{name}.log") if name else text


def _possible(cases: tuple[Case, ...]) -> tuple[Case, ...]:
    """The cases where the log holds only echoes: none is likely."""
    return tuple(
        replace(case, certainty="possible") if case.certainty == "likely" else case
        for case in cases
    )


def _log(failure: Failure) -> str:
    return "\n".join((failure.command, *texts(failure)))


def _status(
    failure: Failure, text: Message, *, nothing_else: bool, turned: str, harmless: bool
) -> Status:
    """What kind of answer *text* is.

    :param nothing_else: neither a case nor a derived message says more.
    :param turned: the meaning that the failure's other lines give it.
    :param harmless: what stands around says that nothing failed.
    """
    fatal = text.id in SOMETIMES_FATAL and failure.has(Role.WHERE, Role.CLOSING)
    if (text.role is Role.WARNING and not fatal) or (harmless and not failure.unrecognised):
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


def _words_of(
    failure: Failure, line: Line, match: Match, which: Operation, reads: Setting
) -> tuple[str, str]:
    """Meaning and remedy of a message that another one quotes."""
    variant = _variant(failure, line, match, which)
    own = advice.varied(advice.of_wording(match.message, match.text), variant)
    own = steered(own, Told(failure=failure, main=match, line=line.text, rule="")).advice
    meaning = variant.meaning or match.text.meaning or match.message.meaning
    now = remedy(match.message, line.text, _log(failure), own.now) or own.now
    return fill(meaning, match, reads), fill(for_error(now, _error(match, line)), match, reads)


_ANY = Variant()


def _variant(failure: Failure, line: Line, main: Match, which: Operation) -> Variant:
    """The message's words for this errno, target, command line or operation.

    A message that tells errnos apart has no remedy for one that it does not know: then the errno's
    general meaning and remedy hold.
    """
    known = main.message.variants
    if not known:
        return _ANY
    error, arch, log = errno_of(main, line.text), architecture(failure), _log(failure)
    for variant in known:
        if variant.holds(error=error, arch=arch, line=line.text, log=log, operation=str(which)):
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


def _wrapped(wrapped: Wrapped, status: Status, meaning: str) -> tuple[Status, str, str]:
    """What is said when a wrapper quotes an error that nothing recognises."""
    if status is Status.SYMPTOM:
        # the cause is in this line, not in another log
        status = Status.EXPLAINED if wrapped.explained else Status.UNKNOWN
    said = meaning.rstrip(" .\"'")
    if said.endswith(wrapped.words):  # the sentence has quoted it already
        return status, f"{said}. {wrapped.short}".strip(), wrapped.now
    return status, f"{meaning} {wrapped.said}".strip(), wrapped.now


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
