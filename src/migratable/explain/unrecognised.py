"""Lines that look like errors and that no message of the catalogue describes.

They are never dropped: an unknown line of QEMU may be the cause.
"""

from __future__ import annotations

import re

from migratable.explain.grouping import HARMLESS, Failure, Line
from migratable.explain.logs import pieces, without_prefix
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


def suspicious(data: bytes, failures: list[Failure]) -> list[Line]:
    """Lines of an input's beginning that look like errors and belong to no failure.

    Of an input of more than :data:`SMALL` bytes only the lines that carry QEMU's name.
    """
    all_of_them = len(data) <= SMALL
    taken = {line.number for failure in failures for line in failure.lines}
    taken |= {line.number for failure in failures for line in failure.unrecognised}
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
            words = without_prefix(piece.text)
            if (piece.qemu and len(words) > 3) or _ERROR_WORDS.search(words):
                found.append(Line(number=number, text=piece.text, time=piece.time, qemu=piece.qemu))
                break
    return found
