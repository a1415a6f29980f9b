"""A program's errors as a table: texts with their places, and the kinds that explain them.

``errors.tsv`` of a folder has a row an error: code, place, releases and text, with ``%s``, ``%d``
and ``%x`` for its values. ``kinds.toml`` has the words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from migratable.messages.catalogue import Fault, Message, Role, Text, data_text
from migratable.messages.template import Template

# Letters and words of fixed text that a wording must have to stand for anything.
LETTERS, WORDS = 12, 3
UNMISTAKABLE = 24
# Characters of a line in which an error is looked for.
LONGEST = 2000
# What may follow an error's text: its end, a bracket or quote of a wrapper, the kernel's words.
_ENDS = r"(?=$|[\"'`)\],;:.\\]|\s*$|\s+[\[\](A-Z])"
_VALUE = re.compile(r"(%[sdx])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An error of a program's source.

    :ivar code: libvirt's without ``VIR_ERR_`` ("-" where the source has it from a variable),
        QEMU's kind of call.
    :ivar place: ``file: function``.
    :ivar releases: the oldest and the newest of those read that have it, with a hyphen between.
    :ivar text: every value is ``%s``, ``%d`` or ``%x``.
    """

    code: str
    place: str
    releases: str
    text: str

    @property
    def letters(self) -> int:
        """How much of it is fixed."""
        return sum(map(str.isalpha, "".join(_VALUE.split(self.text)[::2])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """An error found in a line.

    :ivar message: its kind, as the catalogue has messages.
    :ivar params: ``said``, and what the kind's sentences name.
    :ivar start, end: where its own words stand, in characters.
    """

    known: Known
    message: Message
    params: dict[str, str]
    start: int
    end: int


# Where a text may begin that somebody quotes: with the line, a quote, a bracket, behind a colon.
OUTSET = re.compile(r"^\W*(?:\d+[.)] )?|[\"'`(\[] ?|[:=\])-] +|\bERROR +")


def bare_words(word: str) -> set[str]:
    """A word of a line without the quotes, brackets and stops that may stand around it."""
    inner = word.strip("'\"`()[]{}")
    return {word, word.rstrip("'\"`)]},;:."), inner, inner.rstrip("'\"`)]},;:.")}


def unmistakable(known: Known) -> bool:
    """Has an error so much fixed text that no other program's can be meant?"""
    words = sum(len(part.split()) for part in _VALUE.split(known.text)[::2])
    return known.letters >= UNMISTAKABLE and words >= WORDS + 1


def framed(text: str) -> bool:
    """Is every value kept in bounds by quotes or fixed text behind it?"""
    return not re.search(r"%s$|^%s ", text)


@cache
def pattern(text: str) -> re.Pattern[str]:
    """What a text with ``%s``, ``%d`` and ``%x`` looks like in a line, to its end."""
    pieces = []
    parts = _VALUE.split(text)
    for number, part in enumerate(parts):
        if part == "%d":
            pieces.append(r"-?\d{1,40}")
        elif part == "%x":
            pieces.append(r"(?:0x)?[0-9a-fA-F]{1,40}")  # %#x too
        elif part == "%s":
            before, after = parts[number - 1][-1:], parts[number + 1][:1]
            if before == after == "'":
                pieces.append(r"[^']{0,500}")
                # two quotes with nothing between them may have become one on the way here
                if number + 2 == len(parts) and parts[number + 1] == "'":
                    parts[number + 1] = ""
                    pieces.append("'?")
            else:
                pieces.append(r".{0,500}?" if any(parts[number + 1 :]) else r".{1,1000}")
        else:
            pieces.append(re.sub(r"(?:\\ )+", r"\\s+", re.escape(part)))
    # What ends in a colon goes on with another error.
    return re.compile("".join(pieces) + ("" if text.endswith(":") else _ENDS))


def rows(folder: str) -> Iterator[tuple[Known, list[str]]]:
    """All errors of a table, each with the words of its text that are no values."""
    for line in data_text(folder, "errors.tsv").splitlines():
        if not line.startswith("#"):
            code, place, releases, text = line.split("\t")
            known = Known(code=code, place=place, releases=releases, text=text)
            yield known, [word for word in text.split() if "%" not in word]


def by_rarest_word(found: Iterable[tuple[Known, list[str]]]) -> Mapping[str, tuple[Known, ...]]:
    """Each error under the word of its text that the fewest others have."""
    found = list(found)
    frequency = Counter(word for _, words in found for word in words)
    table: dict[str, list[Known]] = {}
    for known, words in found:
        table.setdefault(min(words, key=frequency.__getitem__), []).append(known)
    return {word: tuple(items) for word, items in table.items()}


def of_kind(
    entry: Mapping[str, Any], *, group: str, program: str, role: Role = Role.CAUSE
) -> Message:
    """A kind of error as the catalogue has messages."""
    return Message(
        id=entry["id"],
        group=group,
        program=program,
        role=role,
        rule=entry["rule"],
        fault=Fault(entry["side"]),
        meaning=entry["meaning"],
        now=entry["now"],
        prevent=entry["prevent"],
        verify="",
        references=(),
        rank=-1,
        texts=(Text(template=Template("{said:line}")),),
        warning=role is Role.WARNING,
        here=entry.get("here", {}),
    )
