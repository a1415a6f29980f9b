"""libvirt's errors that have no entry of their own: recognised by their text, explained by kind.

libvirt has some nine thousand errors. ``messages/libvirt/errors.tsv`` holds the text of each, with
its code, place and releases (``tools/libvirt_messages.py`` takes them out of the sources);
``messages/libvirt/kinds.toml`` says what a code means in a file. Both are read when a line first
asks for them.

A text counts only where libvirt's words begin: behind the class of its error ("internal error: "),
or behind what virsh, libvirtd's log or a binding puts before one. Otherwise other programs' texts,
or parts of longer ones, would be taken for libvirt's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from migratable.messages.catalogue import Message, load_toml
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

FOLDER = "messages/libvirt"
GROUP = "libvirt_errors"
# As LETTERS, where a value at an end is without bounds.
OPEN_LETTERS = 18

# What stands before an error's text when its class has no words of its own (system calls, RPC).
_BEGINS = re.compile(
    r"(?:^|[\s'\"`])error: (?=\S)|libvirtError: |\bMessage='+|"
    r"\b(?:error : \w+|(?:vir|qemu|remote|dispatch|do)[A-Z]\w+):\d+ : |"
    r"libvirt: [\w ]{1,40} error ?: |LibvirtException: |Call to vir\w+ failed: |"
    r"[Ee]rror (?:starting domain|creating libvirt domain|defining libvirt domain): |"
    r"(?:^|\s)ERROR {2,6}(?=\S)|Unable to complete install: '"
)
# A user's own command: virsh's line.
_ASKED = re.compile(r"\s*(?:.{0,80}[$#] )?error: ")


@cache
def errors() -> Mapping[str, tuple[Known, ...]]:
    """All errors that are recognised, by the rarest word of each."""
    return by_rarest_word(
        (known, words)
        for known, words in rows(FOLDER)
        if len(words) >= WORDS
        and known.letters >= (LETTERS if framed(known.text) else OPEN_LETTERS)
    )


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
    return of_kind(entry, group=GROUP, program="libvirt")


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


def find(line: str, *, anywhere: bool = False) -> Hit | None:
    """The error of libvirt in *line*, the one with most fixed text; None without one.

    :param anywhere: a text that is long enough to be nobody else's counts at the beginning of the
        line, behind a quote and behind a colon too: someone quoted it without its class.
    """
    line = line[:LONGEST]
    classes, codes = _classes()
    if anywhere:
        hits = [_best(line, hit.end(), "") for hit in OUTSET.finditer(line)]
        long = [hit for hit in hits if hit is not None and unmistakable(hit.known)]
        return max(long, key=lambda hit: hit.known.letters, default=None)
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
        for bare in bare_words(word):
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


def origin(known: Known) -> str:
    """Where the text stands, as ``origins.toml`` writes it."""
    return f"libvirt {known.releases.replace('-', ' to ')} src/{known.place}"
