"""Lines that a mail, YAML or a terminal has broken, put together again."""

from __future__ import annotations

import re

from migratable.explain.errnos import ERRNOS, begins
from migratable.explain.logs import Piece, clean, pieces
from migratable.messages.catalogue import Role
from migratable.messages.recognise import Match, recognise

FOLLOWING = 2
MAX_PART = 2048


def joined(buffer: bytes, start: int, end: int) -> list[Piece]:
    """The line ``buffer[start:end]``, with its neighbours when that makes sense of it.

    A line that nothing recognises is joined with the one before and up to two after it. One that
    only reports a failure, or that ends inside a text, is joined with what follows when the whole
    then says more.
    """
    soft = _soft_end(buffer, start, end)
    alone = list(pieces(soft or buffer[start:end]))
    matches = [match for piece in alone for match in recognise(piece.text)]
    if not matches:
        return _best(_candidates(buffer, start, end, earlier=True), ()) or alone
    ends = _with_errno(buffer, start, end)
    if ends:
        return ends
    if _says_little(matches):
        goes_on = clean(buffer[start:end]).rstrip(" '\"").endswith(":")
        return _best(_candidates(buffer, start, end, earlier=False), matches, goes_on) or alone
    return alone


def _with_errno(buffer: bytes, start: int, end: int) -> list[Piece]:
    """The line with the kernel's error that was broken off behind its colon; [] without one."""
    line = _part(buffer[start:end])
    errno = _errno_behind(buffer, line, end)
    return list(pieces(_join(line, errno))) if errno else []


def _errno_behind(buffer: bytes, line: bytes, end: int) -> bytes:
    """The kernel's error in the line behind *end*, where *line* ends in a colon; else nothing."""
    stop = buffer.find(b"\n", end + 1)
    following = _part(buffer[end + 1 : stop if stop >= 0 else len(buffer)])
    text = following.decode("utf-8", "replace")
    known = line.endswith(b":") and begins(text)
    return following if known or _rest_of_errno(line, text) else b""


def _rest_of_errno(line: bytes, following: str) -> bool:
    """Does *line* end inside the kernel's error text, and *following* begin with the rest?"""
    words = line[-60:].decode("utf-8", "replace").split(" ")
    heads = {" ".join(words[-count:]) for count in range(1, min(4, len(words)) + 1)}
    return any(
        name[: cut.start()] in heads and following.startswith(name[cut.end() :])
        for name in ERRNOS
        for cut in re.finditer(" ", name)
    )


def _soft_end(buffer: bytes, start: int, end: int) -> bytes:
    """The line and what follows it behind soft line breaks of quoted-printable; b"" without one."""
    text = b""
    for _ in range(FOLLOWING + 1):
        line = buffer[start:end].rstrip()
        if not line.endswith(b"=") or line.endswith(b"=="):
            return text and text + _part(line)
        text += (line if not text else _part(line))[:-1]
        start = end + 1
        stop = buffer.find(b"\n", start)
        end = stop if stop >= 0 else len(buffer)
    return text


def _says_little(matches: list[Match]) -> bool:
    """Do the matches leave room for a text that goes on in the next line?"""
    return all(match.message.role is Role.SYMPTOM or match.message.rank < 0 for match in matches)


def _candidates(buffer: bytes, start: int, end: int, *, earlier: bool) -> list[bytes]:
    """The line joined in every way, fewest lines first."""
    line = _part(buffer[start:end])
    before = b""
    if earlier:
        before = _part(buffer[buffer.rfind(b"\n", 0, max(0, start - 1)) + 1 : max(0, start - 1)])
        if _known(before):
            before = b""
    candidates = []
    text, position = line, end
    for _ in range(FOLLOWING):
        stop = buffer.find(b"\n", position + 1)
        stop = stop if stop >= 0 else len(buffer)
        following = _part(buffer[position + 1 : stop])
        if not following or _known(following):
            break
        text, position = _join(text, following), stop
        errno = _errno_behind(buffer, text, stop)
        candidates.append(_join(text, errno) if errno else text)
    if before:
        candidates += [_join(before, line), *(_join(before, text) for text in candidates)]
    return candidates


# Colour, and what mails and Terraform's boxes put before each line.
_COLOUR = re.compile(rb"\x1b\[[0-9;?]*[ -/]*[@-~]")
_MARGIN = re.compile(rb"(?:[>\s]|\xe2\x94\x82)+")


def _part(raw: bytes) -> bytes:
    part = _COLOUR.sub(b"", raw[:MAX_PART]).strip()
    margin = _MARGIN.match(part)
    return part[margin.end() :] if margin else part


def _known(part: bytes) -> bool:
    return any(recognise(piece.text) for piece in pieces(part))


def _join(first: bytes, second: bytes) -> bytes:
    # "=" at the end: a soft line break of quoted-printable, which stands inside words too.
    return first[:-1] + second if first.endswith(b"=") else first + b" " + second


def _best(
    candidates: list[bytes], known: tuple[()] | list[Match], goes_on: bool = False
) -> list[Piece]:
    """The first candidate with a cause that is named more surely than what is *known*.

    :param goes_on: the line ends in a colon: what is known as surely counts then, too.
    """
    surest = max((_worth(match) for match in known), default=(-1, -9))
    for candidate in candidates:
        found = list(pieces(candidate))
        matches = [match for piece in found for match in recognise(piece.text)]
        worth = max((_worth(match) for match in matches), default=(-1, -9))
        if worth > surest or (goes_on and worth == surest):
            return found
    return []


def _worth(match: Match) -> tuple[int, int]:
    # An error of a table whose value is open at its end takes any line behind it along.
    rank = min(match.message.rank, -2) if match.origin else match.message.rank
    return (1 if match.message.role is Role.CAUSE else 0, rank)
