"""How a program ended, in the words of a shell or kernel, beside what follows from that.

A program that crashed ("Floating point exception (core dumped)") or a host whose disk or memory
failed is the cause of what QEMU, libvirt and managers say afterwards of a broken stream, a failed
load or a job that was cancelled; not of a refusal with a reason of its own that stands before.
"""

from __future__ import annotations

import re
from dataclasses import replace

from migratable.explain.ends import ENDED, ends
from migratable.explain.grouping import Failure, Line
from migratable.messages.catalogue import Fault, Role
from migratable.messages.recognise import WEAK, Match

# What may follow from the end of a program, or of a disk: rules whose messages name no own reason.
_FOLLOWS = frozenset(
    {
        "stream-broken", "transport", "multifd", "source-save", "management", "destination-crash",
        "storage", "post-load", "unrecognised", "",
    }
)  # fmt: skip
_ECHOES = frozenset({"stream-broken", "transport", "multifd"})
_MORE, _LESS = 4, -8
_ABORTED = frozenset({"crash-abort", "crash-abort-bare"})


def worth(failure: Failure, line: Line, match: Match) -> int:
    """How much more, or less, than its rank a line about an end counts beside the others."""
    if not ends(match):
        return 0
    told = [
        (other, found.message)
        for other, found in failure.matches
        if found.message.role is Role.CAUSE
        and not ends(found)
        and (found.message.rank > WEAK or found.message.program == "QEMU")
    ]
    reasons = [other for other, found in told if found.rule not in _FOLLOWS]
    traced = match.message.id in ENDED and any(
        found.message.id == "backtrace-died" and found.params["tells"]
        for _, found in failure.matches
    )
    return _LESS if reasons or traced else _MORE


def without_the_end(failure: Failure) -> Failure:
    """*failure* without the line that QEMU ended itself, where QEMU's own lines say why."""
    said = any(
        found.message.role is Role.WHERE
        or (
            found.message.role is Role.CAUSE
            and found.message.program == "QEMU"
            and found.message.rule not in _ECHOES
        )
        for _, found in failure.matches
        if not ends(found)
    )
    if not said:
        return failure
    kept = [
        line
        for line in failure.lines
        if any(match.message.id not in _ABORTED for match in line.matches)
    ]
    return replace(failure, lines=kept)


_INCOMING = re.compile(r"-incoming\b")
_SENDS = re.compile(r"\(qemu\) migrate\b(?!_)|QEMU command 'migrate'|'migration out'")
# Names that people give the two logs.
_NAMED = (
    (Fault.SOURCE, re.compile(r"(?:^|[^a-z])(?:src|source|from|origin)(?![a-z])", re.IGNORECASE)),
    (
        Fault.DESTINATION,
        re.compile(r"(?:^|[^a-z])(?:dst|dest|destination|target|to)(?![a-z])", re.IGNORECASE),
    ),
)


def side_of_log(failure: Failure) -> Fault | None:
    """The side whose log holds *failure*, one of several logs; None where nothing tells."""
    text = _text(failure)
    if _INCOMING.search(text):
        return Fault.DESTINATION
    if _SENDS.search(text):
        return Fault.SOURCE
    name = failure.programs[0][0].rpartition("/")[2] if failure.programs else ""
    found = [side for side, pattern in _NAMED if pattern.search(name)]
    return found[0] if len(found) == 1 else None


def side(failure: Failure, main: Match) -> Fault | None:
    """The side whose QEMU ended as *main* says; None where nothing tells."""
    line = next((one for one in failure.lines if main in one.matches), None)
    if failure.of_several_logs or failure.sides:
        return failure.sides.get(line.log) if line is not None else None
    # One that says that its load failed ends by that, and not by a signal.
    closed = any(
        match.message.role is Role.CLOSING and match.message.of_the_load
        for _, match in failure.matches
    )
    if closed:
        return Fault.SOURCE
    text = _text(failure)
    loads, sends = _INCOMING.search(text) is not None, _SENDS.search(text) is not None
    here = _HOST.match(line.text) if line is not None else None
    if here and not loads and _sent_by_another(text, here["host"]):
        return Fault.DESTINATION
    if loads == sends:
        return None
    return Fault.DESTINATION if loads else Fault.SOURCE


# The host that a line of the journal names.
_HOST = re.compile(r"[A-Z][a-z]{2} [ \d]\d [\d:]{8} (?P<host>[\w.-]+) ")


def _sent_by_another(text: str, host: str) -> bool:
    """Is the guest sent by another host than *host*, as all of the journal's lines say?"""
    hosts = {
        found["host"]
        for line in text.splitlines()
        if _SENDS.search(line) and (found := _HOST.match(line))
    }
    return bool(hosts) and host not in hosts


def _text(failure: Failure) -> str:
    lines = (line.text for line in (*failure.lines, *failure.unrecognised))
    return "\n".join((failure.command, failure.text_around, *lines))
