"""Values that YAML breaks over several lines, put on the first of them.

``kubectl get -o yaml`` folds a reason or a message of more than eighty characters; libvirt's error
in it then begins on one line and ends on another.
"""

from __future__ import annotations

import re

FOLLOWING = 40
_OPENS = re.compile(
    rb"(?P<indent>[ \t]*)(?:- )?(?:message|msg|error|details|stderr|\w*[rR]eason): "
    rb"(?P<quote>['\"]?)(?P<text>\S.*)"
)
# A member of its own, or an element of a list.
_MEMBER = re.compile(rb"(?:- )|[\w./-]{1,80}:(?: |$)")


def unfolded(data: bytes) -> bytes:
    """*data* with each folded value on one line, and blank lines where the rest of it stood.

    The number of lines is the same.
    """
    lines = data.split(b"\n")
    place = 0
    while place < len(lines):
        opens = _OPENS.fullmatch(lines[place].rstrip(b"\r"))
        parts = _folded(lines, place, opens) if opens is not None else []
        if parts:
            lines[place] = b" ".join((lines[place].rstrip(), *parts))
            lines[place + 1 : place + 1 + len(parts)] = [b""] * len(parts)
        place += 1 + len(parts)
    return b"\n".join(lines)


def _folded(lines: list[bytes], place: int, opens: re.Match[bytes]) -> list[bytes]:
    """What belongs to the value that begins on a line; nothing where it ends there."""
    quote = opens["quote"]
    if quote and _closed(opens["text"], quote):
        return []
    parts: list[bytes] = []
    for line in lines[place + 1 : place + 1 + FOLLOWING]:
        text = line.strip()
        deeper = len(line) - len(line.lstrip()) > len(opens["indent"])
        if not text or not deeper or (not quote and _MEMBER.match(text)):
            break
        parts.append(text.removesuffix(b"\\").removeprefix(b"\\ "))
        if quote and _closed(text, quote):
            return parts
    # A quote that is never closed is none of YAML's.
    return [] if quote else parts


def _closed(text: bytes, quote: bytes) -> bool:
    """Does the value end with this line?"""
    end = text.rstrip()
    if not end.endswith(quote):
        return False
    doubled = len(end) - len(end.rstrip(quote))
    return doubled % 2 == 1 if quote == b"'" else not end.endswith(b'\\"')
