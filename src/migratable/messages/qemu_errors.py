"""QEMU's errors that have no entry of their own: recognised by their text, explained by kind.

``messages/qemu/errors.tsv`` holds the text of each, with the kind of call, its place and releases
(``tools/qemu_messages.py`` takes them out of the sources); ``messages/qemu/kinds.toml`` says what
an error of a file means, by its words. Both are read when a line of QEMU first asks for them.

A text counts only in QEMU's own lines: behind its name, behind what libvirt and Proxmox put before
what QEMU printed, and in the description of a QMP error. There it begins at the beginning, or
behind a colon (an option, or what another function put before an error).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from migratable.messages.catalogue import Message, Role, load_toml
from migratable.messages.error_table import (
    LETTERS,
    LONGEST,
    OUTSET,
    WORDS,
    Hit,
    Known,
    bare_words,
    by_rarest_word,
    framed,
    of_kind,
    pattern,
    rows,
    unmistakable,
)

FOLDER = "messages/qemu"
GROUP = "qemu_errors"
# As LETTERS, where a value at an end is without bounds.
OPEN_LETTERS = 16
# One word less does with a value that is quoted or has text behind it.
QUOTED_LETTERS = 14
STARTS = 24

# What stands before QEMU's words.
_OF_QEMU = re.compile(
    r"(?:^|[\s:'\"(>./`\[])(?:qemu-system-[\w-]+|qemu-kvm|qemu-dm|kvm-spice|kvm|qemu|QEMU)"
    r"(?:\[\d+\])?: |"
    r"connecting to monitor: |closed the monitor(?: \(vm='[^']*'\))?: |"
    r"unable to execute QEMU command '[\w-]+': |[Qq][Mm][Pp] command '[\w-]+' failed - |"
    r"['\"]class['\"]: ?u?['\"]\w+['\"], ?u?['\"]desc['\"]: ?u?['\"]|error-desc['\"]?: ?u?['\"]|"
    r"load of migration failed: |"
    r"\bjob '[^']{1,40}' failed: |migration status(?: error)?: failed(?: - | \()|"
    r"[Ss]tatus: failed \(|(?:^|\(qemu\) )Error: "
)
_BOUNDARY = re.compile(r": |\. |; ")
_LEVEL = re.compile(r"(?:warning|error|info): ")


@dataclass(frozen=True, slots=True)
class _Texts:
    """All texts that are recognised, by the rarest word of each; hints as whole lines."""

    by_word: Mapping[str, tuple[Known, ...]]
    hints: Mapping[str, tuple[Known, ...]]


@cache
def errors() -> Mapping[str, tuple[Known, ...]]:
    """All errors that are recognised, by the rarest word of each."""
    return _texts().by_word


@cache
def _texts() -> _Texts:
    found: list[tuple[Known, list[str]]] = []
    hints: dict[str, list[Known]] = {}
    quiet = re.compile(_kinds()["quiet"])
    for known, words in rows(FOLDER):
        if not _telling(known, len(words)) or quiet.search(known.text):
            continue
        if known.code == "hint":
            hints.setdefault(words[0], []).append(known)
        else:
            found.append((known, words))
    return _Texts(by_rarest_word(found), {word: tuple(items) for word, items in hints.items()})


def _telling(known: Known, words: int) -> bool:
    """Has an error so much fixed text that it stands for something?"""
    kept = framed(known.text)
    if words >= WORDS + 2 and len(known.text) > 60:
        return True
    if words >= WORDS:
        return known.letters >= (LETTERS if kept else OPEN_LETTERS)
    quoted = "'%s'" in known.text or (kept and "%" in known.text)
    return words == WORDS - 1 and quoted and known.letters >= QUOTED_LETTERS


@cache
def _kinds() -> dict[str, Any]:
    return load_toml(FOLDER, "kinds.toml")


def kinds() -> Iterator[Message]:
    """All kinds, as messages."""
    for entry in _kinds()["kind"]:
        yield _message(entry["id"], Role.CAUSE)


def groups() -> Iterator[tuple[str, ...]]:
    """What the words of each kind name."""
    for entry in _kinds()["kind"]:
        yield tuple(re.compile(entry.get("words", "")).groupindex)


def _entry(name: str) -> dict[str, Any]:
    entry: dict[str, Any] = next(entry for entry in _kinds()["kind"] if entry["id"] == name)
    return entry


@cache
def _message(name: str, role: Role) -> Message:
    entry = _entry(name)
    return of_kind(entry, group=GROUP, program="QEMU", role=role)


def kind(known: Known, said: str) -> tuple[str, dict[str, str]]:
    """The id of the kind of an error, and the values that the kind's own words name."""
    place = today(known.place)
    for entry in _kinds()["kind"]:
        if "place" in entry and not re.search(entry["place"], place):
            continue
        if "text" in entry and not re.search(entry["text"], known.text):
            continue
        if "words" not in entry:
            return str(entry["id"]), {}
        found = re.search(entry["words"], said)
        if found:
            return str(entry["id"]), {name: text or "" for name, text in found.groupdict().items()}
    raise AssertionError("the last kind fits everything")


def of_words(hit: Hit) -> bool:
    """Is the kind of an error told by its words, and not only by the file that has it?"""
    entry = _entry(hit.message.id)
    return "words" in entry or "text" in entry


def today(place: str) -> str:
    """Where a place of an old release stands now: before 2.11 much stood at the top."""
    for old, new in _kinds()["moved"]:
        found, count = re.subn(old, new, place, count=1)
        if count:
            return found
    return place


def find(line: str, *, anywhere: bool = False) -> Hit | None:
    """The error of QEMU in *line*, the one with most fixed text; None without one.

    :param anywhere: a text that is long enough to be nobody else's counts without QEMU's name too.
    """
    line = line[:LONGEST]
    program = list((OUTSET if anywhere else _OF_QEMU).finditer(line))
    if not program:
        return None
    start = program[0].end()
    starts = [hit.end() for hit in program]
    starts += [hit.end() for hit in _BOUNDARY.finditer(line, start)]
    starts += [hit.end() for begin in starts if (hit := _LEVEL.match(line, begin))]
    hits: list[_Found] = []
    table = errors()
    words = line[start:].replace("\\n", " ").split()
    candidates = {
        known
        for word in dict.fromkeys(words)
        for bare in bare_words(word)
        for known in table.get(bare, ())
        if not anywhere or (known.code not in ("wrap", "warn") and unmistakable(known))
    }
    for known in candidates:
        expression = pattern(known.text)
        # The latest: a value at a text's beginning must not take what stands before it along.
        for begin in sorted(set(starts), reverse=True)[:STARTS]:
            found = expression.match(line, begin)
            if found:
                # What another function put before an error says less than the error.
                worth = known.letters - (1000 if known.code == "wrap" else 0)
                hits.append((worth, known.place, known, begin, found.end()))
    if not hits:
        return None
    best = _first_of_the_best(hits)
    if best[2].text.endswith(": %s"):
        outer = pattern(best[2].text.removesuffix(" %s")).match(line, best[3])
        inner = [hit for hit in hits if outer and hit[3] >= outer.end()]
        best = _first_of_the_best(inner) if inner else best
    _, _, known, begin, end = best
    goes_on = known.code in ("errno", "wrap") or known.text.endswith(":")
    said = (line[begin:] if goes_on else line[begin:end]).strip()
    if said.endswith(('"', '"}')) or said.count("'") % 2:
        said = said.rstrip("'\"}")  # of what quotes the line
    name, values = kind(known, said)
    role = Role.WARNING if known.code == "warn" else Role.CAUSE
    return Hit(
        known=known,
        message=_message(name, role),
        params={"said": said, **values},
        start=begin,
        end=end,
    )


_Found = tuple[int, str, Known, int, int]


def _first_of_the_best(hits: list[_Found]) -> _Found:
    """The hit that is worth most; of equals the first of the last place."""
    best = hits[0]
    for hit in hits[1:]:
        if hit[:2] > best[:2]:
            best = hit
    return best


def hint(line: str) -> bool:
    """Is the whole of *line* what QEMU prints behind an error to help with it?"""
    said = line.strip()
    first = said.partition(" ")[0]
    for known in _texts().hints.get(first, ()):
        found = pattern(known.text).match(said)
        if found and found.end() >= len(said) - 1:
            return True
    return False


def origin(known: Known) -> str:
    """Where the text stands, as ``origins.toml`` writes it."""
    return f"QEMU {known.releases.replace('-', ' to ')} {known.place}"
