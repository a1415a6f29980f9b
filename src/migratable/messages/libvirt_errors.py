"""libvirt's errors that have no entry of their own: recognised by their text, explained by kind.

libvirt has some seven thousand errors. ``messages/libvirt/errors.tsv`` holds the text of each, with
its code, place and releases (``tools/libvirt_messages.py`` takes them out of the sources);
``messages/libvirt/kinds.toml`` says what a code means in a file. Both are read when a line first
asks for them.

A text counts only where libvirt's words begin: behind the class of its error ("internal error: "),
or behind what virsh, libvirtd's log or a binding puts before one. Otherwise other programs' texts,
or parts of longer ones, would be taken for libvirt's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from migratable.messages.catalogue import Fault, Message, Role, Text, data_text, load_toml
from migratable.messages.template import Template

FOLDER = "messages/libvirt"
GROUP = "libvirt_errors"
# Letters (more where a value at an end is without bounds) and words of fixed text that a wording
# must have to stand for anything.
LETTERS, OPEN_LETTERS, WORDS = 12, 18, 3
LONGEST = 2000

# What stands before an error's text when its class has no words of its own (system calls, RPC).
_BEGINS = re.compile(
    r"(?:^|[\s'\"])error: (?=\S)|\berror : \w+:\d+ : |libvirtError: |\bMessage='+|"
    r"libvirt: [\w ]{1,40} error ?: |LibvirtException: |Call to vir\w+ failed: |"
    r"[Ee]rror (?:starting domain|creating libvirt domain|defining libvirt domain): |"
    r"(?:^|\s)ERROR {2,6}(?=\S)|Unable to complete install: '"
)
# What may follow an error's text: its end, a bracket or quote of a wrapper, the kernel's words.
# A user's own command: virsh's line.
_ASKED = re.compile(r"\s*(?:.{0,80}[$#] )?error: ")
_ENDS = r"(?=$|[\"')\],;:.\\]|\s*$|\s+[\[(A-Z])"
_VALUE = re.compile(r"(%[sdx])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An error of libvirt's source.

    :ivar code: without ``VIR_ERR_``; "-" where the source has it from a variable.
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
    :ivar params: ``said``, ``subject``, ``element``, ``see``.
    :ivar start, end: where its own words stand, in characters.
    """

    known: Known
    message: Message
    params: dict[str, str]
    start: int
    end: int

    @property
    def origin(self) -> str:
        """As ``origins.toml`` writes it."""
        return f"libvirt {self.known.releases.replace('-', ' to ')} src/{self.known.place}"


@cache
def errors() -> Mapping[str, tuple[Known, ...]]:
    """All errors that are recognised, by the rarest word of each."""
    found: list[tuple[Known, list[str]]] = []
    frequency: Counter[str] = Counter()
    for line in data_text(FOLDER, "errors.tsv").splitlines():
        if line.startswith("#"):
            continue
        code, place, releases, text = line.split("\t")
        words = [word for word in text.split() if "%" not in word]
        known = Known(code=code, place=place, releases=releases, text=text)
        least = LETTERS if framed(text) else OPEN_LETTERS
        if len(words) < WORDS or known.letters < least:
            continue
        frequency.update(words)
        found.append((known, words))
    table: dict[str, list[Known]] = {}
    for known, words in found:
        table.setdefault(min(words, key=frequency.__getitem__), []).append(known)
    return {word: tuple(items) for word, items in table.items()}


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


@cache
def _kinds() -> dict[str, Any]:
    return load_toml(FOLDER, "kinds.toml")


@cache
def _classes() -> tuple[re.Pattern[str], Mapping[str, str]]:
    codes = {text: code for code, text in _kinds()["classes"].items()}
    # Until 1.1 there was no colon behind the class.
    found = {text.removesuffix(": "): code for text, code in codes.items()}
    return re.compile(f"({'|'.join(map(re.escape, found))}):? ?"), found


@cache
def _quiet() -> re.Pattern[str]:
    return re.compile(_kinds()["quiet"])


def kinds() -> Iterator[Message]:
    """All kinds, as messages."""
    for entry in _kinds()["kind"]:
        yield _message(entry["id"])


@cache
def _message(name: str) -> Message:
    entry = next(entry for entry in _kinds()["kind"] if entry["id"] == name)
    return Message(
        id=name,
        group=GROUP,
        program="libvirt",
        role=Role.CAUSE,
        rule=entry["rule"],
        fault=Fault(entry["side"]),
        meaning=entry["meaning"],
        now=entry["now"],
        ever=entry["ever"],
        verify="",
        references=(),
        rank=-1,
        texts=(Text(template=Template("{said:line}")),),
    )


def kind(known: Known) -> str:
    """The id of the kind of an error."""
    for entry in _kinds()["kind"]:
        if "codes" in entry and known.code not in entry["codes"]:
            continue
        if "place" in entry and not re.search(entry["place"], known.place):
            continue
        if all(re.search(entry[key], known.text) for key in ("text", "needs") if key in entry):
            return str(entry["id"])
    raise AssertionError("the last kind fits everything")


def subject(known: Known) -> Mapping[str, str]:
    """What of the guest or the host an error is about: ``name``, ``element``, ``see``."""
    function = known.place.partition(": ")[2]
    for text in (function, known.text, known.place):
        for entry in _kinds()["subject"][:-1]:
            if re.search(entry["match"], text):
                return dict(entry)
    return dict(_kinds()["subject"][-1])


def find(line: str) -> Hit | None:
    """The error of libvirt in *line*, the one with most fixed text; None without one."""
    line = line[:LONGEST]
    classes, codes = _classes()
    # The kernel has words of its own that are a class of libvirt's ("resource busy").
    starts = [(hit.end(), codes[hit[1]]) for hit in classes.finditer(line)]
    starts += [(hit.end(), "") for hit in _BEGINS.finditer(line)]
    best: Hit | None = None
    for start, code in starts:
        hit = _best(line, start, code)
        if hit is not None and (best is None or hit.known.letters > best.known.letters):
            best = hit
    return best


def _best(line: str, start: int, code: str) -> Hit | None:
    table = errors()
    best: tuple[int, Known, int] | None = None
    for word in dict.fromkeys(line[start:].split()):
        for bare in {word, word.rstrip("'\")],;:.")}:
            for known in table.get(bare, ()):
                if code and known.code not in (code, "-"):
                    continue
                found = pattern(known.text).match(line, start)
                if found and (best is None or known.letters > best[0]):
                    best = known.letters, known, found.end()
    if best is None or (_quiet().search(best[1].text) and not _ASKED.match(line)):
        return None
    _, known, end = best
    if known.code == "-" and code:
        known = replace(known, code=code)
    about = subject(known)
    said = line[start:] if known.code == "SYSTEM_ERROR" else line[start:end]
    params = {"said": said.strip(), "subject": about["name"]}
    params |= {"element": about["element"], "see": about["see"]}
    return Hit(known=known, message=_message(kind(known)), params=params, start=start, end=end)
