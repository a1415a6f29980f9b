"""Lines that look like errors and that no message of the catalogue describes.

They are never dropped: an unknown line of QEMU may be the cause.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from migratable.explain import phrases
from migratable.explain.choice import cleans_up, minor, only_minor
from migratable.explain.grouping import ABOUT_VMS, HARMLESS, STRICT, Failure, Line, routine
from migratable.explain.linekinds import (
    COMMAND,
    ERROR_WORDS,
    FEW,
    OF_AN_ERROR,
    OPENS,
    OPTIONS,
    PYTHON,
    SNIPPET,
    STEP,
    WEAK_WORDS,
    WENT_WELL,
    Kind,
    introduces,
    kind_of,
    only_a_class,
    quoted,
)
from migratable.explain.logs import Piece, clean, pieces, without_prefix
from migratable.messages import qemu_errors
from migratable.messages.catalogue import Role
from migratable.messages.recognise import WEAK, Match, recognise
from migratable.messages.recognise import quoted as quoted_error

SMALL = 512 << 10
SEARCHED = 16 << 20
MAX_LINES = 50

_OF_QEMU = re.compile(rb"(?:qemu-system-[a-z0-9_]+|qemu-kvm|QEMU\[\d+\]|/kvm): ")


def _words(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip().strip("> "))


def suspicious(data: bytes, failures: list[Failure]) -> list[Line]:
    """Lines of an input's beginning that look like errors and belong to no failure.

    Of an input of more than :data:`SMALL` bytes only the lines that carry QEMU's name. Sentences of
    people count only where nothing else in the input does.
    """
    all_of_them = len(data) <= SMALL
    known = {line.number: failure for failure in failures for line in failure.lines}
    taken = {line.number for failure in failures for line in failure.unrecognised} | set(known)
    told = [_words(line.text) for failure in failures for line in failure.lines]
    found: list[Line] = []
    sentences: list[Line] = []
    hidden: list[Failure] = []
    lines = data.split(b"\n")
    introduced = 0
    for number, raw in enumerate(lines, 1):
        if number in taken or not (all_of_them or _OF_QEMU.search(raw)):
            failure = known.get(number)
            if failure is not None and not failure.has(Role.CAUSE):
                _members(number, raw, failure)
            continue
        if len(found) >= MAX_LINES:
            break
        # The line below a frame of Python's is its code.
        frame = PYTHON.search(lines[number - 2]) is not None if number > 1 else False
        soft = raw.endswith(b"=") and number < len(lines)  # a line break of quoted-printable
        texts = list(pieces(raw[:-1] + lines[number] if soft else raw))
        if b"use of closed network connection" in raw:
            continue  # how each of Go's listeners ends
        outcome: Line | None = None
        for place, piece in enumerate(texts, 1):
            announced = introduced == number
            following, where = _following(lines, number)
            if place < len(texts):
                following, where = texts[place].text, number
            heads = all_of_them and bool(following) and introduces(piece.text, following)
            if heads and OF_AN_ERROR.search(piece.text):
                introduced = where
            if HARMLESS.search(piece.text) or OPENS.fullmatch(piece.text):
                continue
            matches = recognise(piece.text)
            if any(match.message.rank > WEAK for match in matches):
                quiet = len(data) > STRICT or routine(matches, piece.text)
                if not quiet and _lost(matches, [*failures, *hidden]):
                    line = _line(number, piece, tuple(matches))
                    hidden.append(Failure(stream="", first=number, last=number, lines=[line]))
                continue
            if _part_of(piece.text, told) or qemu_errors.hint(piece.text):
                continue
            words = without_prefix(piece.text)
            asked = OPTIONS.sub("", words) if COMMAND.match(words) else words
            looks = ERROR_WORDS.search(asked) is not None or (piece.qemu and len(words) > 3)
            looks = looks or (not _LOW.search(asked) and phrases.hinted(asked))
            called = (announced or piece.error) and _says_something(piece.text)
            if announced and not looks and any(0 <= at - number <= 5 for at in known):
                continue  # what is announced is known, and stands a line or two below
            if not looks and not called:
                continue
            which = kind_of(piece.text, following, qemu=piece.qemu)
            named = only_a_class(piece.text) and phrases.hinted(piece.text)
            if frame or (not named and (which is Kind.NONE or heads)):
                continue
            line = _line(number, piece)
            if which is Kind.SENTENCE and not called:
                said = [text for text in quoted(piece.text) if not recognise(text)]
                if said:
                    found.append(replace(line, text=said[0]))
                    break
                if quoted_error(piece.text) is not None:
                    found.append(line)
                    break
                if not heads and ABOUT_VMS.search(piece.text):
                    sentences.append(line)
                continue
            if which is Kind.OUTCOME and place < len(texts):
                outcome = outcome or line  # another member of the object may say why
                continue
            found.append(_line(number, _telling(piece, texts[place:])))
            break
        else:
            found += [outcome] if outcome is not None else []
    failures += hidden
    return found or ([] if failures else sentences)


def of_snippet(data: bytes) -> list[Line]:
    """The lines of a small input that may be what a person asks about; none of what went well.

    Nothing in it is known, and no line has an error's word: what refuses ("only …", "already …")
    is shown all the same, and any line where there are hardly more, since "no failure" would be
    said of a failure.
    """
    if len(data) > SNIPPET:
        return []
    found = []
    lines = data.split(b"\n")
    told = "\n".join(text for raw in lines if not COMMAND.match(text := clean(raw)))
    if WENT_WELL.search(told):
        return []
    few = sum(bool(raw.strip()) for raw in lines) <= FEW
    for number, raw in enumerate(lines, 1):
        for piece in pieces(raw):
            text = piece.text
            skip = COMMAND.match(text) or HARMLESS.search(text) or OPENS.fullmatch(text)
            words = len(re.findall(r"[^\W\d_]{2,}", text))
            if skip or recognise(text) or words < 2:
                continue
            quiet = (not few and _LOW.search(text)) or kind_of(text, qemu=piece.qemu) is Kind.NONE
            any_line = few and words > 3 and not STEP.search(text)
            if (any_line or WEAK_WORDS.search(text)) and not quiet:
                found.append(_line(number, piece))
                break
    return found[:MAX_LINES]


def _telling(piece: Piece, others: list[Piece]) -> Piece:
    """*piece*, or that of the *others* of its object whose phrase tells more."""

    def worth(one: Piece) -> int:
        told = phrases.told(one.text, None)
        return 0 if told is None else 1 if told.weak else 2

    return max((piece, *others), key=worth) if others else piece


def _line(number: int, piece: Piece, matches: tuple[Match, ...] = ()) -> Line:
    return Line(number=number, text=piece.text, time=piece.time, qemu=piece.qemu, matches=matches)


def _lost(matches: Iterable[Match], failures: list[Failure]) -> bool:
    """Is a line known, and in no failure: its wrapping hid it from the first look?"""
    ids = {m.message.id for failure in failures for _, m in failure.matches}
    roles = {match.message.role for match in matches if match.message.id not in ids}
    return Role.CAUSE in roles or (
        not failures and not roles.isdisjoint((Role.SYMPTOM, Role.CLOSING))
    )


def _says_something(text: str) -> bool:
    """Has a text that is announced as an error the words of one?"""
    return len(re.findall(r"[^\W\d_]{2,}", text)) >= 3 and not COMMAND.match(text)


def _members(number: int, raw: bytes, failure: Failure) -> None:
    """Add the errors that stand in the same object as a line of *failure*, and are not known."""
    for piece in pieces(raw):
        if not piece.error or not _says_something(piece.text) or recognise(piece.text):
            continue
        match = quoted_error(piece.text)
        if match is not None:
            failure.lines.append(_line(number, piece, (match,)))
        elif kind_of(piece.text) not in (Kind.NONE, Kind.OUTCOME):
            failure.unrecognised.append(_line(number, piece))


def _part_of(text: str, told: list[str]) -> bool:
    """Is the line a piece of one that was put together from several?"""
    words = _words(text)
    return len(words) >= 12 and any(words in whole for whole in told)


def _following(lines: list[bytes], number: int) -> tuple[str, int]:
    """The next line with a text, of the three behind line *number*, and its number."""
    for after, raw in enumerate(lines[number : number + 3], number + 1):
        text = raw.strip()
        if text and text.strip(b"`~") and not re.fullmatch(rb"[`~]{3}\w*", text):
            return clean(raw[:400]), after
    return "", 0


def told_by_quotation(suspicious: list[Line], failures: list[Failure]) -> list[Line]:
    """Recognise what was quoted without its program's name; the lines that stay unknown.

    Such an error joins a failure of which only echoes are known, else it is one of its own.
    """
    left = []
    for line in suspicious:
        match = quoted_error(line.text)
        if match is None:
            left.append(line)
            continue
        failure = _only_echo(line, failures)
        if failure is None and any(one.has(Role.CAUSE) for one in failures):
            left.append(line)
            continue
        if failure is None:
            failure = Failure(stream="", first=line.number, last=line.number)
            failures.append(failure)
        failure.lines.append(replace(line, matches=(match,)))
        failure.lines.sort(key=lambda one: one.number)
    return left


# What its own program calls no error.
_LOW = re.compile(
    r"\b(?:INFO|DEBUG|WARN|WARNING|NOTICE)\b|\blevel=(?:info|debug|warn\w*)\b|"
    r" (?:warning|info|debug) : |^W\d{4} "
)
# Lines between an echo and the unknown error beside it.
BESIDE = 40


def attached(suspicious: list[Line], failures: list[Failure]) -> list[Line]:
    """Give the unknown lines that may be a failure's cause to it; the others are returned.

    QEMU's right behind a failure without a cause; any program's beside a failure of which only
    echoes and warnings are known: what it says comes first then. That something failed need not
    be said of what is known to have failed.
    """
    failed = any(one.has(Role.CAUSE, Role.SYMPTOM, Role.CLOSING) for one in failures)
    left = []
    for line in suspicious:
        telling = line.qemu or kind_of(line.text) is not Kind.OUTCOME
        beside = telling and (line.qemu or _LOW.search(line.text) is None)
        failure = _open_end(line, failures) or (_only_echo(line, failures) if beside else None)
        if failure is None:
            if not failures or (not only_a_class(line.text) and (telling or not failed)):
                left.append(line)
            continue
        failure.unrecognised.append(line)
        if line.qemu:
            failure.last = max(failure.last, line.number)
    for failure in failures:
        failure.unrecognised.sort(key=lambda line: line.number)
    return left


def _open_end(line: Line, failures: list[Failure]) -> Failure | None:
    if not line.qemu:
        return None
    for failure in failures:
        told = failure.has(Role.CAUSE, Role.SYMPTOM, Role.CLOSING)
        if not told and 0 < line.number - failure.last <= 2:
            return failure
    return None


def _minor_only(failure: Failure, line: Line) -> bool:
    """Is all that is known of *failure* minor beside the unknown *line*, an error itself?"""
    return only_minor(failure) and not cleans_up(line.text)


def _only_echo(line: Line, failures: list[Failure]) -> Failure | None:
    """The nearest failure of which nothing is known but echoes and warnings.

    None where a failure whose cause is known ends nearer before the line: that one it follows.
    """
    near = [
        (min(abs(line.number - one.number) for one in failure.lines), failure)
        for failure in failures
        if failure.lines and (not failure.has(Role.CAUSE, Role.WHERE) or _minor_only(failure, line))
    ]
    told = [
        line.number - one.number
        for failure in failures
        for one in failure.lines
        if one.number < line.number
        and any(m.message.role is Role.CAUSE for m in one.matches)
        and not minor(one)
    ]
    distance, failure = min(near, key=lambda item: item[0], default=(BESIDE + 1, None))
    return failure if distance <= min(BESIDE, *told, BESIDE) else None
