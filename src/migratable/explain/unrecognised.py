"""Lines that look like errors and that no message of the catalogue describes.

They are never dropped: an unknown line of QEMU may be the cause.
"""

from __future__ import annotations

import re

from migratable.explain.grouping import HARMLESS, Failure, Line
from migratable.explain.logs import pieces, without_prefix
from migratable.messages import qemu_errors
from migratable.messages.catalogue import Role
from migratable.messages.recognise import recognise

SMALL = 512 << 10
SEARCHED = 16 << 20
MAX_LINES = 50

_ERROR_WORDS = re.compile(
    r"\b(?:error|fail|failed|failure|unable|cannot|can't|couldn't|invalid|unsupported|refus\w*|"
    r"mismatch|missing|unknown|abort\w*|assert\w*|not supported|incompatible|could not|couldn't|"
    r"denied|reject\w*|timed out|no such|not found|exception|panic)\b",
    re.IGNORECASE,
)
# A member of a JSON or Python object that only opens another one.
_OPENS = re.compile(r"""[\s{[,]*["']?\w+["']?\s*[:=]\s*[{[(]*,?""")
_OF_QEMU = re.compile(rb"(?:qemu-system-[a-z0-9_]+|qemu-kvm|QEMU\[\d+\]|/kvm): ")


def attached(suspicious: list[Line], failures: list[Failure]) -> list[Line]:
    """Give QEMU's lines right behind a failure without cause to it; the others are returned."""
    left = []
    for line in suspicious:
        for failure in failures:
            open_end = not failure.has(Role.CAUSE, Role.SYMPTOM, Role.CLOSING)
            if line.qemu and open_end and 0 < line.number - failure.last <= 2:
                failure.unrecognised.append(line)
                failure.last = line.number
                break
        else:
            left.append(line)
    return left


# Headings of the error that follows: virsh's two lines ("error: Failed to start domain x", then
# libvirt's own words), Incus's list, a report's "this error:".
_VIRSH = re.compile(r"\berror: (?:Failed|Disconnected|Unable|Could not) ?(?:to|from)? ?\w+")
_NEXT_ERROR = re.compile(r"\berror: ")
_TITLE = re.compile(
    r"[\W_]*(?:errors?|logs?|problem|failure|bug|output|actual results?|error details)[\W_]*", re.I
)
# The outcome and nothing else, a line of a traceback, a count of a test runner's or of make's.
_OUTCOME = re.compile(
    r"[\W\d]*(?:the )?(?:live )?(?:migration|instance|vm|domain|failed|job|task)?[\W_]*"
    r"(?:has |is )?(?:failed|true|error|aborted)[\W_]*(?:true)?[\W\d]*|raise [\w.]+\(.*|"
    r"make: \*.*|[\w ]*\btoo few tests run.*|Abort trap: \d+|: unknown",
    re.IGNORECASE,
)
# A class of exception that stands alone, or behind the words that it belongs to.
# An argument of gdb's that it could not read.
_ARGUMENT = re.compile(r"\w+=\S+ <error: Cannot access memory at address .*")
# gdb's and coredumpctl's own lines around a backtrace, which is read for itself.
_OF_GDB = re.compile(
    r"#\d+ .*|.*\breceived signal SIG.*|Program terminated with signal.*|"
    r".*\(core dumped\)|Thread \d+ .*"
)
_CLASS = re.compile(r"\(?[\w.:]*(?:Error|Exception)\)?:?")
# QEMU's trace events (log backend): a name from trace-events, then its values.
_TRACE = re.compile(
    r"(?:\d+@\d+\.\d+:)?(?:migrate|migration|savevm|loadvm|qemu_loadvm|vmstate|cpr|postcopy|"
    r"multifd|ram|source_return_path|process_incoming|vfio|qio_channel|nbd|mirror|qemu_file)"
    r"_\w+(?: [^:]*| \w+=.*)?"
)
_PERSON = re.compile(r"\b(?:I|we|you|my|our|I'm|I've|it's|anyone|thanks)\b|\?$", re.IGNORECASE)


def no_error(text: str, following: str, *, qemu: bool) -> bool:
    """Is a line with an error's word a heading, a trace event, a class name or a person's prose?

    :param following: the next line that is not empty.
    """
    if qemu:
        return False
    stripped = text.strip()
    bare = stripped.strip("*#_` ")
    if _TITLE.fullmatch(bare) or _CLASS.fullmatch(bare) or _TRACE.fullmatch(bare):
        return True
    if _OUTCOME.fullmatch(stripped) or _ARGUMENT.fullmatch(bare) or _OF_GDB.fullmatch(stripped):
        return True
    if bare.endswith(":") and following:
        return True
    if _VIRSH.search(stripped) and _NEXT_ERROR.search(following):
        return True
    plain = not re.search(r"\b(?:error|fatal|ERROR|FATAL)\b:? ?:", stripped)
    return plain and bool(_PERSON.search(stripped)) and len(stripped.split()) > 5


def _words(text: str) -> str:
    return re.sub(r"\s+", " ", text.strip().strip("> "))


def suspicious(data: bytes, failures: list[Failure]) -> list[Line]:
    """Lines of an input's beginning that look like errors and belong to no failure.

    Of an input of more than :data:`SMALL` bytes only the lines that carry QEMU's name.
    """
    all_of_them = len(data) <= SMALL
    taken = {line.number for failure in failures for line in failure.lines}
    taken |= {line.number for failure in failures for line in failure.unrecognised}
    told = [_words(line.text) for failure in failures for line in failure.lines]
    found: list[Line] = []
    lines = data.split(b"\n")
    for number, raw in enumerate(lines, 1):
        if number in taken or not (all_of_them or _OF_QEMU.search(raw)):
            continue
        if len(found) >= MAX_LINES:
            break
        soft = raw.endswith(b"=") and number < len(lines)  # a line break of quoted-printable
        for piece in pieces(raw[:-1] + lines[number] if soft else raw):
            if HARMLESS.search(piece.text) or _OPENS.fullmatch(piece.text) or recognise(piece.text):
                continue
            if no_error(piece.text, _following(lines, number), qemu=piece.qemu):
                continue
            if _part_of(piece.text, told):
                continue
            words = without_prefix(piece.text)
            if (piece.qemu and len(words) > 3) or _ERROR_WORDS.search(words):
                if qemu_errors.hint(piece.text):
                    continue
                found.append(Line(number=number, text=piece.text, time=piece.time, qemu=piece.qemu))
                break
    return found


def _part_of(text: str, told: list[str]) -> bool:
    """Is the line a piece of one that was put together from several?"""
    words = _words(text)
    return len(words) >= 12 and any(words in whole for whole in told)


def _following(lines: list[bytes], number: int) -> str:
    """The next line with a text, of the three behind line *number*."""
    for raw in lines[number : number + 3]:
        if raw.strip():
            return raw[:400].decode("utf-8", "replace")
    return ""
