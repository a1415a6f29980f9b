"""Values that YAML folds, put on the first of their lines; and what a test expected and found.

``kubectl get -o yaml`` folds a reason or a message of more than eighty characters; libvirt's error
in it then begins on one line and ends on another. What a mail or a terminal broke is put together
in :mod:`.wrapping`.
"""

from __future__ import annotations

import re

from migratable.explain import wrapping
from migratable.explain.logs import clean

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
    place, left = 0, wrapping.TRIED
    while place < len(lines):
        opens = _OPENS.fullmatch(lines[place].rstrip(b"\r"))
        parts = _folded(lines, place, opens) if opens is not None else []
        parts = parts or _expected(lines, place)
        if parts:
            lines[place] = b" ".join((lines[place].rstrip(), *parts))
            lines[place + 1 : place + 1 + len(parts)] = [b""] * len(parts)
        place += 1 + len(parts)
        if not parts and left:
            left -= _put_together(lines, place - 1)
    return b"\n".join(lines)


def _put_together(lines: list[bytes], place: int) -> bool:
    """Join the line at *place* with what a mail or terminal broke off it; was it looked at?"""
    last = place + 1 + wrapping.MOST
    if len(lines[place]) < wrapping.SHORTEST or not any(lines[place + 1 : place + 2]):
        return False
    texts = [clean(line) for line in lines[place:last]]
    if not wrapping.may_go_on(texts, 0):
        return False
    whole, taken = wrapping.wrapped(texts, 0)
    if taken:
        lines[place] = whole.encode()
        lines[place + 1 : place + 1 + taken] = [b""] * taken
    return True


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


# What a test says of an output that it did not expect: both in quotation marks.
_EXPECTS = re.compile(rb"\bexpected (?:pattern|message|error)s?\b[^'\"]{0,20}['\"]")
_GOT = re.compile(rb"['\"] (?:not )?in (?:the )?(?:output|stderr|stdout)\b")
LONGEST = 12


def _expected(lines: list[bytes], place: int) -> list[bytes]:
    """The rest of a test's complaint that is broken before what was found."""
    if not _EXPECTS.search(lines[place]) or _GOT.search(lines[place]):
        return []
    parts: list[bytes] = []
    for line in lines[place + 1 : place + 1 + LONGEST]:
        text = line.strip()
        if not text:
            break
        parts.append(text)
        whole = b" ".join(parts)
        if _GOT.search(whole) and text.endswith((b"'", b'"')):
            return parts
    return []
