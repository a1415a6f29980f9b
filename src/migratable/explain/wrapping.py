"""Errors that a mail, a commit message or a terminal breaks over several lines.

Layout alone does not tell: a log's line may be as long as a mail's. So lines that may belong
together (the first has no room for the next one's first word, or ends at a terminal's edge, and
the next has nothing of its own before it) are put together only where that makes sense: where a
message of the catalogue, or a quotation, begins in one and ends in the next.
"""

from __future__ import annotations

import re

from migratable.explain.errnos import ERRNOS
from migratable.explain.linekinds import ERROR_WORDS, WEAK_WORDS
from migratable.explain.logs import PROGRAM
from migratable.messages.recognise import Match, recognise

EDGE, WIDEST, MOST = 62, 84, 8
SHORTEST = 36
# So many lines of an input are tried with the ones below: reports are short, and each costs time.
TRIED = 250
# Columns at which terminals, pagers and web consoles cut.
_CUT = frozenset({79, 80, 81, 100, 120, 132})
_MARGIN = re.compile(r"(?:[>\t ]|\xe2\x94\x82|│)*")
# What begins a line of its own: a time, a prompt, a program's name, a member, a frame, a list.
_BEGINS = re.compile(
    r"\d{2,4}[-/:.]\d\d[-/:.]\d\d|[A-Z][a-z]{2} [ \d]\d \d\d:|\(qemu\)|[\[$#{*+|@=]|\w+[>$#] |"
    r"[\w.~-]+@[\w.~-]+|[\w./-]{1,40}\[\d+\]: |-{1,3}[ \w-]|```|\d+[.):] |"
    r"(?:qemu|kvm|virsh|libvirt|panda|pve|virt|make|ssh|bash|kernel|nova|systemd)[\w./-]{0,40}: |"
    r"(?:error|warning|ERROR|WARN|Error|TASK|FATAL|INFO|DEBUG|Hi|Thanks|Regards|Traceback|File|From|To)\b|"
    r"(?:u?mount|rm|cp|mv|ls|cat|sh|tar|dd|chown|chmod|sudo|rsync|scp|lxc|incus|rbd|zfs|lv\w+): |"
    r"</?\w|level=|msg=|time="
)
_FUNCTION = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+){2,}\b")


def wrapped(lines: list[str], place: int) -> tuple[str, int]:
    """The line at *place* with what was broken off it, and how many lines that are.

    The line itself and 0 where it ends there.
    """
    first = lines[place]
    chain = _chain(lines, place)
    if len(chain) < 2 or not _may_tell(" ".join(chain)):
        return first, 0
    best, taken = first, 0
    # A terminal cuts inside words; where it cut at a blank, that stands at the end.
    for cut in (True, False) if len(first.rstrip("\r")) in _CUT else (False,):
        text = first.rstrip()
        for number, part in enumerate(chain[1:], 1):
            boundary = len(text)
            blank = lines[place + number - 1].rstrip("\r").endswith(" ")
            text = f"{text}{'' if cut and not blank else ' '}{part}"
            if not _spans(text, boundary, part):
                continue
            if number > taken or _says_more(text, best):
                best, taken = text, number
    if not taken and not recognise(first):
        return _closed(chain)
    return best, taken


def _closed(chain: list[str]) -> tuple[str, int]:
    """The head of a message that begins below it: the lines until its brackets are closed."""
    text = chain[0]
    for number, part in enumerate(chain[1:], 1):
        if not _bracket(text):
            break
        text = f"{text} {part}"
        if not _bracket(text) and recognise(part):
            return text, number
    return chain[0], 0


def _says_more(text: str, other: str) -> bool:
    return _letters(_fullest(recognise(text))) > _letters(_fullest(recognise(other)))


def may_go_on(lines: list[str], place: int) -> bool:
    """Do layout and words allow that the line at *place* goes on in the next?"""
    chain = _chain(lines, place)
    return len(chain) > 1 and _may_tell(" ".join(chain))


def _may_tell(text: str) -> bool:
    """Is there a word of an error, or a program's name?"""
    found = ERROR_WORDS.search(text) or WEAK_WORDS.search(text) or PROGRAM.search(text)
    return found is not None


def _chain(lines: list[str], place: int) -> list[str]:
    """The lines from *place* on that layout allows to be one, without their margins."""
    chain = [_inner(lines[place])]
    if not chain[0] or re.search(
        r"[^\s!<>=]=$", lines[place]
    ):  # a soft line break is read elsewhere
        return chain
    depth = _depth(lines[place])
    for number in range(place, min(place + MOST, len(lines) - 1)):
        here, following = lines[number].rstrip("\r"), lines[number + 1]
        text = _inner(following)
        # RFC 3676: a line that goes on ends with a blank.
        flowed = here.endswith(" ") and (number > place or len(here) > EDGE // 2)
        if not text or _depth(following) != depth or _BEGINS.match(text):
            break
        if not flowed and (_FUNCTION.match(text) or not _full(here, text)):
            break
        chain.append(text)
    return chain


def _inner(line: str) -> str:
    found = _MARGIN.match(line)
    return line[found.end() if found else 0 :].rstrip()


def _depth(line: str) -> int:
    found = _MARGIN.match(line)
    return found[0].count(">") if found else 0


def _full(line: str, following: str) -> bool:
    """Had *line* no room for the next word, or is it cut at a terminal's edge?"""
    length = len(line.rstrip())
    if len(line) in _CUT:
        return True
    widest = max(_CUT) if _bracket(line) else WIDEST
    return length <= widest and length + 1 + len(following.split(None, 1)[0]) > EDGE


def _fullest(matches: list[Match]) -> Match | None:
    return max(matches, key=_letters, default=None)


def _letters(match: Match | None) -> int:
    return 0 if match is None else len(match.text.template.fixed) or 1


def _spans(text: str, boundary: int, part: str) -> bool:
    """Does something begin before *boundary* and end behind it, that says more than it did?"""
    found = _fullest([one for one in recognise(text) if one.start < boundary < one.end])
    if found is None:
        return False
    told = _fullest([one for one in recognise(text[:boundary]) if one.end > found.start])
    # A wording with one value more after the same words, and a blank before it, says no more.
    if told is None or _letters(found) > _letters(told) + 1:
        return True
    # The same text with a longer value: only where the line itself says that it goes on.
    other = found.message.id != told.message.id or told.end < boundary
    if other or _ends(text[:boundary]) or recognise(part):
        return False
    begins_low = part[:1].islower() or part[:1].isdigit()
    room = EDGE - len(part.split(maxsplit=1)[0]) // 2
    return _open(text[:boundary]) or (begins_low and boundary >= room)


def _ends(text: str) -> bool:
    """Is the kernel's error the last word?"""
    return text.rstrip(" .'\")").endswith(tuple(ERRNOS))


def _open(text: str) -> bool:
    """Is a bracket or a quote open at the end, or a comma the last?"""
    return (
        _bracket(text)
        or text.count('"') % 2 == 1
        or len(re.findall(r"(?<!\w)'|'(?!\w)", text)) % 2 == 1
        or text.rstrip().endswith((",", ":", "-", "=", "/"))
    )


def _bracket(text: str) -> bool:
    """Is a bracket open at the end?"""
    pairs = (("(", ")"), ("[", "]"), ("{", "}"))
    return any(text.count(left) > text.count(right) for left, right in pairs)
