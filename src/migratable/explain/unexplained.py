"""Errors that nothing recognises: shown, and never guessed at."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from migratable.explain import advice, decode, own_words, phrases
from migratable.explain.also import Also
from migratable.explain.choice import cleans_up
from migratable.explain.details import device_of, errno_hint
from migratable.explain.explanation import Explanation, Status, of_failure
from migratable.explain.failed_operation import texts
from migratable.explain.filling import fill
from migratable.explain.grouping import Failure, Line
from migratable.explain.linekinds import WENT_WELL
from migratable.explain.logs import without_prefix
from migratable.explain.managers import seen, who_wrote
from migratable.explain.operation import operation
from migratable.explain.perspective import seen_from
from migratable.messages.catalogue import Fault, Role
from migratable.messages.recognise import Match

# A device's section begins with its place on a bus.
_PLUGGED = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/")
_UNPLUG = (
    "Use the same QEMU release with the same options of {subject} on both sides. If it stays, take "
    "the device out of the guest before (device_del, virsh detach-device) and add it again "
    "afterwards, or stop and start the guest; look for the line in QEMU's issues."
)


def nothing_known(
    failure: Failure, line: Line, unknown: list[Line], errno: str | None = None
) -> Explanation:
    """A failure of which *line* is shown and nothing is known but its device and errno."""
    around = "\n".join(texts(failure))
    named = _phrase(unknown, around)
    if named is not None:
        line, told = named
        return likely(_shown(failure, line, unknown, errno), told)
    shown = _hinted(_shown(failure, line, unknown, errno))
    words = _own_words(failure, line)
    if words is not None:
        return replace(shown, meaning=words.meaning, now=words.now)
    stands = "QEMU prints the cause" if line.qemu else "the cause is printed"
    meaning, subject = f"This line is not known. It stands where {stands}.", shown.device
    if subject is None or not (line.qemu and _PLUGGED.match(subject) and failure.has(Role.WHERE)):
        return replace(shown, meaning=meaning)
    return replace(
        shown,
        meaning=f"{meaning} The state of the device {subject} was being loaded: its own code "
        "refused or failed.",
        now=_UNPLUG.format(subject=subject),
    )


def _phrase(lines: Sequence[Line], around: str) -> tuple[Line, phrases.Told] | None:
    """The first of the unknown *lines* that ends in a phrase, best one that tells a cause."""
    found = []
    for line in lines:
        if cleans_up(line.text) and any(one.number < line.number for one in lines):
            continue
        program = who_wrote(line.text) or who_wrote(around) or seen(around)
        told = phrases.told(line.text, program)
        # QEMU's own function says of which errno it speaks.
        if told is not None and not (told.id == "errno" and line.qemu):
            found.append((line, told))
    return min(found, key=lambda one: (one[1].weak, one[0].number), default=None)


def phrases_beside(lines: Sequence[Line], around: str) -> list[Also]:
    """Those of the unknown *lines* before a known error that end in a phrase, in their order."""
    found = []
    for line in lines:
        told = phrases.cause(line.text, who_wrote(line.text) or who_wrote(around) or seen(around))
        if told is not None and not line.qemu:
            name = f"phrase-{told.id}"
            found.append(Also(line=line, message=name, meaning=told.means, now=told.now))
    return found


def likely(shown: Explanation, told: phrases.Told, beside: str = "") -> Explanation:
    """An unknown line, explained by the phrase in which it ends.

    :param beside: what else is known of the failure.
    """
    means = told.means if told.weak else f"Likely cause: {told.means}"
    return replace(
        shown,
        status=Status.SYMPTOM if told.weak else Status.EXPLAINED,
        likely=not told.weak,
        message=f"phrase-{told.id}",
        rule=told.rule,
        meaning=f"{means} {beside}".strip(),
        details=(*told.details, *shown.details),
        now=told.now,
        verify="",
        unknown=tuple(one for one in shown.unknown if one.text != shown.line),
    )


def _shown(
    failure: Failure, line: Line, unknown: list[Line], errno: str | None = None
) -> Explanation:
    """The line, and what the log tells of its device, without a meaning."""
    subject, number = device_of(failure, None)
    details = []
    if subject and decode.section(subject):
        details.append(f"'{subject}' is {decode.section(subject)}.")
    return replace(
        of_failure(failure, line, unknown),
        details=tuple(details),
        verify="check",
        device=subject,
        instance_id=number,
        errno=errno,
        operation=operation(texts(failure)),
    )


def _hinted(shown: Explanation) -> Explanation:
    """*shown* with what the errno at the end of its line means."""
    hint = errno_hint(shown.line)
    return replace(shown, details=(hint, *shown.details)) if hint else shown


def _own_words(failure: Failure, line: Line) -> own_words.Said | None:
    """What a line that is not QEMU's says by its words, and whose it is by the lines around it."""
    if line.qemu:
        return None
    return own_words.said(line.text, "\n".join(one.text for one in failure.lines))


def by_own_words(
    lines: tuple[Line, ...], log: str = ""
) -> tuple[list[Explanation], tuple[Line, ...]]:
    """The unknown line that says most of itself, explained by that; and the others.

    :param log: what stands around the lines.
    """
    around = "\n".join((*(line.text for line in lines), log))
    named = None if WENT_WELL.search(around) else _phrase(lines, around)
    told = own_words.best(lines, log)
    if told is not None and (named is None or (named[1].weak and told[1].rank > _ASKS)):
        line, words = told
        one = _alone(line, words.meaning, words.now, around)
    elif named is not None:
        line = named[0]
        one = likely(_alone(line, "", "", around), named[1])
    else:
        return [], lines
    return [one], tuple(other for other in lines if other.text != line.text)


# Of own words of a lower rank a phrase that only tells an outcome says more.
_ASKS = 3


def _alone(line: Line, meaning: str, now: str, around: str) -> Explanation:
    """A line of which nothing is known, in a log in which nothing is."""
    return Explanation(
        status=Status.UNKNOWN,
        line=line.text,
        number=line.number,
        last=line.number,
        count=1,
        message=None,
        rule=None,
        side=Fault.CANNOT_TELL,
        meaning=meaning,
        now=now,
        lines=(line,),
        log=line.log,
        operation=operation((around,)),
    )


def beside_an_echo(
    failure: Failure, errors: list[Line], unknown: list[Line], main: Match
) -> Explanation:
    """An error that is not known, beside one that only tells that something failed.

    :param errors: those of the *unknown* lines that are no warnings.
    """
    line = errors[0]
    said = fill(main.text.meaning or main.message.meaning, main)
    own = seen_from(advice.of_wording(main.message, main.text), main, failure)
    outcome = f"What is known beside it only tells the outcome: {said}"
    named = _phrase(errors, "\n".join(texts(failure)))
    if named is not None:
        return likely(_shown(failure, named[0], unknown), named[1], outcome)
    words = _own_words(failure, line)
    means = words.meaning if words else "This line is not known; it is the likeliest cause."
    start = f"Start with this line, and what its program logged before it. {fill(own.now, main)}"
    return replace(
        _hinted(_shown(failure, line, unknown)),
        meaning=f"{means} {outcome}",
        now=words.now if words else start.strip(),
    )


def unknown_lines(failure: Failure) -> list[Line]:
    """Lines of QEMU among the failure's that nothing recognised, one of each text."""
    known = {without_prefix(line.text) for line in failure.lines}
    kept: dict[str, Line] = {}
    for line in failure.unrecognised:
        words = without_prefix(line.text)
        if words not in known:
            kept.setdefault(words, line)
    return list(kept.values())
