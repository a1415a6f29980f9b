"""The innermost words of a wrapped error: "Failed …: Failed …: X" failed because of X.

A manager's wrapper whose text goes on in the same line has its cause there, not in another log.
Where no message of the catalogue knows those words they are shown as the cause, in the manager's
or QEMU's own words, and with the log to read on in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from migratable.explain import errnos, own_words, phrases
from migratable.explain.details import errno_hint
from migratable.explain.filling import unquoted
from migratable.explain.grouping import Line
from migratable.explain.logs import PROGRAM
from migratable.explain.managers import of_program, who_wrote
from migratable.messages.catalogue import Role
from migratable.messages.recognise import WEAK, Match

_OF_LIBVIRT = "libvirt's journal {moving: on both hosts} (journalctl -u virtqemud or libvirtd)"
_ERRNO = re.compile(
    r"No such (?:file or directory|device)|Permission denied|Operation not (?:permitted|supported)|"
    r"Device or resource busy|File exists|No space left on device|Read-only file system|"
    r"Invalid argument|Input/output error|Connection (?:refused|timed out|reset by peer)|"
    r"No route to host|Is a directory|Not a directory|Resource temporarily unavailable"
)
_GENERIC = re.compile(
    r"(?:unknown error|internal error|an error occurred|see log|check the logs?|none|null|"
    r"operation failed|failed|(?:(?:live )?migration|merge|snapshot) failed|error|"
    r"exit status \d+|exit code \d+|"
    r"(?:connect: )?connection refused(?:: unknown)?|unknown|"
    r"error reading from server: EOF|"
    r"context deadline exceeded|context canceled|[\w.-]+ error|the server rejected our request.*|"
    r"(?:\w+ )?(?:Invalid argument|Input/output error|Operation not permitted|Broken pipe|"
    r"Connection reset by peer|Connection timed out|No such file or directory))[.!]?",
    re.IGNORECASE,
)
# "… (duration 00:00:03): words"; OpenNebula's scripts put their own sentence behind virsh's error.
_BRACKET = re.compile(r"^\s*\([^)]{0,80}\)(?=\s*:)")
# The guest's name behind the wrapper's words, or the next member of a logger's line.
_NAMED = re.compile(
    r"(?:\s(?:(?:vm|VM|vmi|instance|domain|guest) )?['\"]?[\w./-]{1,100}['\"]?\s?(?P<colon>:)(?= )|"
    r"[^\"=]{0,40}[.!]?\"(?: [\w.-]+=\S+){0,4} (?:err|error|reason|cause|detail)="
    r"\"(?P<quoted>(?:[^\"\\]|\\.)+)\")"
)
_ERROR = re.compile(r"\berror: (?P<words>[^:]{1,80}(?:: .*)?|.{1,400})$", re.IGNORECASE)
# libvirt's words around QEMU's: its last line, and the error of its migration (error-desc).
_QUOTE_QEMU = frozenset(
    {"libvirt-process-exited", "libvirt-monitor-closed", "libvirt-job-failed-new"}
)
_TRACE = re.compile(r"^[\s:]*\d+@\d+\.\d+:")
_WARNS = re.compile(r"(?:^\W*|\b(?:qemu[\w-]*|kvm): )(?:warning|info): ")
_BY_LIBVIRT = re.compile(
    r"\b(?:internal error|[Oo]peration (?:failed|not supported)|invalid argument|"
    r"Requested operation is not valid|unsupported configuration|argument unsupported): |"
    r"[Ll]ibvirt(?:Error|Exception)|virError\("
)
_BY_QEMU = re.compile(r"qemu|\bQMP\b|[Mm]onitor|guest CPU|incoming|load of migration")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrapped:
    """An error inside another.

    :ivar words: the innermost error's text.
    :ivar of_qemu: it speaks of QEMU; else it is the manager's own.
    :ivar said, now, details: a sentence about it, where to read on, what its errno says.
    :ivar short: the sentence where the words are quoted already.
    :ivar explained: the kernel's error and the file that it was met at say all that is needed.
    :ivar likely: it is a phrase, whose meaning is known (:mod:`migratable.explain.phrases`).
    """

    words: str
    of_qemu: bool
    said: str
    short: str
    now: str
    details: tuple[str, ...] = ()
    explained: bool = False
    likely: bool = False


def innermost(line: Line, main: Match) -> Wrapped | None:
    """What *main*, a wrapper, quotes; None where it quotes nothing, or what is known."""
    message = main.message
    if message.role is not Role.SYMPTOM or message.program == "QEMU":
        return None
    wrapper = next(
        (
            unquoted(str(main.params[part.name]))
            for part in main.text.template.parameters
            if part.name in ("error", "reason", "what", "cause", "said", "message", "text", "rest")
        ),
        "",
    )
    rest = wrapper or _BRACKET.sub("", line.text[main.end :])
    named = _NAMED.match(rest) if not wrapper and message.program != "OpenNebula" else None
    if named is not None:
        rest = rest[named.end() - 1 :] if named["colon"] else f": {named['quoted']}"
    program = PROGRAM.match(rest.lstrip(": "))
    if not wrapper and program is None and not rest.startswith((":", " :")):
        quoted_error = _ERROR.search(line.text[: main.start])
        if quoted_error is None or message.program != "OpenNebula":
            return None
        rest = quoted_error["words"]
    if program is not None:
        rest = rest.lstrip(": ")[program.end() :]
    if _TRACE.search(rest) or _WARNS.search(rest):
        return None
    by_phrase = _phrase(line, main, rest)
    if by_phrase is not None:
        return by_phrase
    words = rest.strip(" :.'\"")
    quoted = False
    if ": " in words:
        words = words.rsplit(": ", 1)[1]
        quoted = words.startswith(('"', "'"))
        words = words.strip(" '\"") if not quoted else words
        before = rest[: rest.rfind(words)].rstrip(": ").rsplit(": ", 1)[-1].strip(" :'\"")
    else:
        before = ""
    words = unquoted(words)
    if quoted or len(re.findall(r"[A-Za-z]{3,}", words)) < 2:
        words = f"{before}: {words}" if before else words
    if _ERRNO.fullmatch(words) and before:
        # An errno alone names nothing: what it was met at stands before it.
        words = unquoted(rest.strip(" :.'\""))[-200:]
    if " " not in words.strip() or "://" in words or _GENERIC.fullmatch(words):
        return None
    known = [other for other in line.matches if other is not main and other.start >= main.start]
    if any(other.message.role in (Role.CAUSE, Role.SYMPTOM) for other in known):
        return None
    of = of_program(message.program)
    log = of.log if of else _OF_LIBVIRT if "libvirt" in message.program else "the manager's log"
    what = f'"{words}"' + (f' (at "{before}")' if 0 < len(before) < 80 else "")
    of_qemu = (
        program is not None
        or message.id in _QUOTE_QEMU
        or _BY_QEMU.search(rest) is not None
        or _BY_QEMU.search(main.message.id) is not None
    )
    short = "migratable does not know it."
    if of_qemu:
        now = f"Read on in QEMU's log and in {log}, at that time."
    elif _BY_LIBVIRT.search(rest):
        short = "libvirt printed this line; migratable does not know it."
        now = (
            "Read on in libvirt's journal {moving: on both hosts} (journalctl -u virtqemud or "
            f"libvirtd) and in {log}, at that time."
        )
    else:
        short = (
            "These are the manager's own words; the line does not say that QEMU had a part in it."
        )
        now = f"Read on in {log}, at that time, then in QEMU's own log if it names one."
    told = own_words.said(words, line.text)
    if told is not None and told.rank > 1:
        now = told.now if _names_file(words) else f"{told.now} {now}"
    hint = errno_hint(words)
    return Wrapped(
        words=words,
        of_qemu=of_qemu,
        said=f"The innermost error in the line is the cause: {what}. {short}",
        short=short,
        now=now,
        details=(hint,) if hint else (),
        explained=told is not None and _names_file(words),
    )


def inner_cause(line: Line, main: Match) -> Match | None:
    """The error that stands behind a manager's or libvirt's known one in the same line."""
    if main.message.role is not Role.CAUSE or main.message.program == "QEMU":
        return None
    found = [
        other
        for other in line.matches
        if other.start >= main.end
        and other.message.role is Role.CAUSE
        and other.message.rank > WEAK
    ]
    return found[-1] if found else None


_FREE = frozenset({"error", "reason", "what", "cause", "said", "message", "text", "rest", "why"})


def end_of_cause(line: Line, main: Match) -> phrases.Told | None:
    """The phrase in the free end of a known error ("…: {reason}"); None where nothing more is said.

    An errno alone is left to the message, which may have words for it.
    """
    last = main.text.template.parts[-1]
    if main.message.role is not Role.CAUSE or isinstance(last, str):
        return None
    free = last.spec == "line" and last.name in _FREE
    rest = unquoted(str(main.params[last.name])) if free else line.text[main.end :]
    start = main.end - len(rest) if free else main.end
    known = any(
        other is not main and other.start >= start and other.message.role is Role.CAUSE
        for other in line.matches
    )
    if known or not (free or rest.startswith(":")):
        return None
    return phrases.cause(rest, who_wrote(line.text) or of_program(main.message.program))


def _phrase(line: Line, main: Match, rest: str) -> Wrapped | None:
    """What a wrapper quotes, where it is a phrase that means the same whoever prints it."""
    if any(
        other is not main
        and other.start >= main.start
        and other.message.role in (Role.CAUSE, Role.SYMPTOM)
        for other in line.matches
    ):
        return None
    told = phrases.cause(rest, who_wrote(line.text) or of_program(main.message.program))
    if told is None:
        return None
    return Wrapped(
        words=rest.strip(" :.'\""),
        of_qemu=False,
        said=f"The likely cause is the error that the line ends in: {told.means}",
        short=f"Likely cause: {told.means}",
        now=told.now,
        details=told.details,
        explained=True,
        likely=True,
    )


_SAYS_ALL = re.compile(
    r"(?:No space left on device|Disk quota exceeded|Read-only file system|Too many open files|"
    r"Cannot allocate memory)\W*$"
)


def _names_file(words: str) -> bool:
    """Is it a kernel's error that says all by itself, and the file that it was met at?"""
    named = re.search(r"(?:^|[\s'\"])/[\w.-]+/\S", words) is not None
    return named and _SAYS_ALL.search(words) is not None and bool(errnos.remedy(words))
