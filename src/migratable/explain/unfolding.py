"""Values that YAML, and lines of QEMU that a mail breaks, put on the first of their lines.

``kubectl get -o yaml`` folds a reason or a message of more than eighty characters; libvirt's error
in it then begins on one line and ends on another. A mail breaks what it quotes before its
seventy-second column or so; a line that goes on ends with a space there (RFC 3676), or stood too
near to the edge for the next word.
"""

from __future__ import annotations

import re

from migratable.explain import wrapping
from migratable.explain.logs import clean
from migratable.messages.catalogue import Role
from migratable.messages.recognise import recognise

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
        parts = parts or _expected(lines, place) or _wrapped(lines, place)
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


_QUOTE = re.compile(rb"[> \t]*")
_SAYS = re.compile(rb"\b(?:qemu[\w-]*|kvm|panda-system-\w+)(?:\[\d+\])?: ")
# What begins a line of its own: a time, a prompt, a member of an object, a frame, a list's element.
_BEGINS = re.compile(rb"\d{4}-\d\d-\d\d|\(qemu\)|[$#{\[*]|\w+>|error: |warning: |---|```")
EDGE, WIDEST, REST = 70, 82, 3


def _wrapped(lines: list[bytes], place: int) -> list[bytes]:
    """What a mail has broken off from a line of QEMU's; nothing where it ends there."""
    if not _SAYS.search(lines[place]):
        return []
    depth = _depth(lines[place])
    last, parts = lines[place].rstrip(b"\r"), list[bytes]()
    for line in lines[place + 1 : place + 1 + REST]:
        text = line.strip(b"> \t\r")
        alone = not text or _depth(line) != depth or _SAYS.search(text) or _BEGINS.match(text)
        if alone or not (_goes_on(last, text, quoted=depth > 0) or (parts and last.endswith(b" "))):
            break
        parts.append(text)
        last = line.rstrip(b"\r")
    known = parts and any(
        match.message.role is Role.CAUSE and match.message.rank >= 0
        for match in recognise(lines[place].decode("utf-8", "replace"))
    )
    return [] if known else parts


def _depth(line: bytes) -> int:
    """How many mails quote *line*."""
    found = _QUOTE.match(line)
    return found[0].count(b">") if found else 0


def _goes_on(line: bytes, following: bytes, *, quoted: bool) -> bool:
    """Did the next word not fit, or does the line say itself that it goes on?"""
    length = len(line.rstrip())
    if length > WIDEST:
        return False
    flowed = line.endswith(b" ") and length > EDGE // 2
    return flowed or (quoted and length + 1 + len(following.split()[0]) > EDGE)
