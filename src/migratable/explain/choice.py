"""Which line of a failure is the one that matters."""

from __future__ import annotations

import re
from dataclasses import replace

from migratable.explain import crashes
from migratable.explain.errnos import begins
from migratable.explain.grouping import Failure, Line
from migratable.messages.catalogue import Message, Role
from migratable.messages.recognise import Match

# Printed as an error; whether it stops the load depends on the release (up to 4.2 it does).
SOMETIMES_FATAL = frozenset({"virtio-queue-index"})

# An attempt that has failed is cleaned up after: what cannot be removed then is not what failed.
_CLEANS_UP = re.compile(
    r"(?<!--)(?<![=\"])\b(?:remov(?:e|al|ing)|unlink(?:ing)?|delet(?:e|ion|ing)|un?mount(?:ing)?|"
    r"clean(?:ing)?[ -]?up|tear(?:ing)?[ -]?down|destroy(?:ing)?|deactivat(?:e|ing)|"
    r"unmap(?:ping)?|releasing|terminate process|SIGKILL|"
    r"use of closed network connection|"
    r"restor(?:e|ing) (?:the )?(?:security|original|SELinux|label))\b",
    re.IGNORECASE,
)


def cleans_up(text: str) -> bool:
    """Does a line speak of something that should go away?"""
    return _CLEANS_UP.search(text) is not None


# Which line matters: a cause before all others; among causes the first, unless ranks differ.
_WEIGHT = {Role.CAUSE: 4, Role.WHERE: 3, Role.CLOSING: 2, Role.SYMPTOM: 1, Role.WARNING: 0}


def main_line(failure: Failure) -> tuple[Line, Match] | None:
    """The line that matters and its message; None when no line is known."""
    failure = _without_tracebacks(failure)
    best: tuple[Line, Match] | None = None
    best_key: tuple[int, int, int] | None = None
    for number, (line, match) in enumerate(failure.matches):
        role = match.message.role
        if role is Role.WARNING and not failure.has(
            Role.CAUSE, Role.WHERE, Role.CLOSING, Role.SYMPTOM
        ):
            weight = 5
        elif match.message.id in SOMETIMES_FATAL and not failure.has(Role.CAUSE):
            weight = 4
        elif role is Role.CLOSING and not line.qemu and failure.has(Role.SYMPTOM):
            weight = 0  # libvirt's words about a QEMU whose own log is not here
        else:
            weight = _WEIGHT[role]
        # Among "where" lines the outermost (device) tells most; it stands last up to 10.1.
        where = 1 if match.message.id in ("device-error", "section-error") else 0
        specific = 0 if match.message.rule in ("destination-start", "management") else 1
        # A manager's general words about what it quotes tell less than what it quotes.
        quotes = 1 if match.message.program != "QEMU" and match.message.rank < 0 else 0
        rank = _rank(match.message) + _evidence(failure, line, match)
        rank += crashes.worth(failure, line, match)
        wraps = match.message.program != "QEMU" and match.message.rank <= 0
        if (wraps and _holds_another(line, match)) or _quotes_another(line, match):
            weight = 0
        if role is Role.CAUSE:
            late = _CLEANED if _cleaned_after(failure, line) else 0
            key = (weight, rank * 2 + specific - quotes - late, -number)
        elif role is Role.SYMPTOM:
            told = match.message.rank * 8 + len(match.params) * 2 + specific
            key = (weight, told + (_QUOTED if _quoted(line, match) else 0), -number)
        else:
            key = (weight, where, -number)
        if best_key is None or key > best_key:
            best, best_key = (line, match), key
    return best


_RAISED = re.compile(r"^\s*(?:\w+\.)*\w*(?:Error|Exception): (?P<words>.{12,})$")


def _without_tracebacks(failure: Failure) -> Failure:
    """*failure* without the ends of Python's tracebacks that repeat what a warning has said."""
    warned = [
        line
        for line in failure.lines
        if line.matches and all(match.message.role is Role.WARNING for match in line.matches)
    ]
    if not warned:
        return failure
    kept = [
        line
        for line in failure.lines
        if not (raised := _RAISED.match(line.text))
        or not any(
            raised["words"].strip() in other.text and other.number < line.number for other in warned
        )
    ]
    return replace(failure, lines=kept)


# Said on the way to a start that mostly succeeds all the same.
_GOES_ON = frozenset({"audio-init"})
# A manager asks libvirt for each kind of guest it knows; a host of VMs has no containers.
_ASKED = re.compile(r"\bno connection driver available for (?:lxc|xen|vbox|openvz|vz|bhyve)\b")


def minor(line: Line) -> bool:
    """Is *line*'s error one that follows from another or hurts nobody, where there is another?"""
    causes = [match.message for match in line.matches if match.message.role is Role.CAUSE]
    return bool(causes) and (
        cleans_up(line.text)
        or _ASKED.search(line.text) is not None
        or all(message.id in _GOES_ON for message in causes)
    )


def only_minor(failure: Failure) -> bool:
    """Does a failure hold causes, and all of them are minor ones?"""
    lines = [
        line
        for line in failure.lines
        if any(match.message.role in (Role.CAUSE, Role.WHERE) for match in line.matches)
    ]
    return bool(lines) and all(minor(line) for line in lines)


# How much less an error of the cleaning up counts than the error before it.
_CLEANED = 3


def _given_up(failure: Failure, line: Line) -> bool:
    """Does *line* stand behind a manager's word that it takes back what it had begun?"""
    told = False
    for other, match in failure.matches:
        if other.number >= line.number:
            return False
        if match.message.id == "proxmox-aborting":
            return told
        told = told or match.message.role is Role.CAUSE
    return False


def _cleaned_after(failure: Failure, line: Line) -> bool:
    """Does *line* tell of the cleaning up after an error before it, or of what is no failure?"""
    if _given_up(failure, line):
        return True
    asked = _ASKED.search(line.text) is not None
    return (asked or cleans_up(line.text)) and any(
        match.message.role is Role.CAUSE and match.message.rank >= 0 and not minor(other)
        for other in failure.lines
        if asked or other.number < line.number
        for match in other.matches
    )


def _rank(message: Message) -> int:
    """A message's rank; a short form of a refusal by the loader is no less of one.

    It ranks below its longer form, and in another line than that it says as much.
    """
    short = message.rank == -1 and message.program == "QEMU" and message.of_the_load
    return 0 if short else message.rank


def _evidence(failure: Failure, line: Line, match: Match) -> int:
    """How much more, or less, a line of the host's counts: does it speak of what failed?

    A host's log is full of denials that hurt nobody; one of the file that QEMU could not open is
    the cause.
    """
    if match.message.group != "evidence" or match.message.program == "QEMU":
        return 0
    others = [one for one in (*failure.lines, *failure.unrecognised) if one is not line]
    if "file" not in match.params:
        return 3 if match.message.rank >= 0 else 0
    file = str(match.params["file"])
    name = file.rpartition("/")[2]
    if any(file in one.text or (len(name) > 4 and f"/{name}" in one.text) for one in others):
        return 5
    told = [one for one in others if not minor(one)]
    return -4 if any(m.message.role is Role.CAUSE for one in told for m in one.matches) else 0


# How much more an echo counts that a manager's words quote than these.
_QUOTED = 20


def _quoted(line: Line, match: Match) -> bool:
    """Is *match* what a manager quotes in this line: QEMU's or libvirt's echo, or a reason?"""
    echo = match.message.program in _QUOTABLE
    return any(
        other.message.role is Role.SYMPTOM
        and other.message.program not in _QUOTABLE
        and other.start < match.start
        and (echo or _announces(other, match))
        for other in line.matches
    )


def _announces(outer: Match, inner: Match) -> bool:
    """Does *outer* say no more than that it failed, and *inner* stand behind it?"""
    return outer.message.rule == "management" and not outer.params and outer.end <= inner.start


def _outcome_of(cause: Match, other: Match) -> bool:
    """Is *other* a manager's word for the outcome, behind libvirt's or QEMU's for the cause?"""
    inner = cause.message.role is Role.CAUSE and cause.message.program in _QUOTABLE
    return inner and other.message.program not in _QUOTABLE


_QUOTABLE = frozenset({"QEMU", "libvirt"})


def _quotes_another(line: Line, match: Match) -> bool:
    """Do QEMU's words for what it cannot open or start go on with another of its messages?"""
    error = str(match.params.get("error", ""))
    opens = match.message.rule in ("storage", "destination-start")
    if match.message.program != "QEMU" or not opens or len(error) < 4 or begins(error):
        return False
    return any(
        other is not match
        and other.message.role is Role.CAUSE
        and other.message.program == "QEMU"
        and match.start < other.start < match.end
        and line.text.startswith(error, other.start)
        for other in line.matches
    )


def _holds_another(line: Line, match: Match) -> bool:
    """Does a manager's message quote one that says more?

    Behind an errno nothing is quoted: what follows there is somebody else's sentence.
    """
    if begins(str(match.params.get("error", ""))):
        return False
    return any(
        other is not match and match.start <= other.start and other.end <= match.end
        for other in line.matches
        if other.message.role is Role.CAUSE
        or (other.message.role is Role.SYMPTOM and not _outcome_of(match, other))
    )
