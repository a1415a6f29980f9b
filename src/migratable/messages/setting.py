"""Texts that read otherwise where no guest moves between two hosts.

What is said of a failure is written for a migration. Where one host starts, saves or loads the
guest, what stands in braces reads otherwise:

- ``{the destination}`` is a term: :data:`TERMS` has its words for each setting. A term that begins
  with a capital is put in with one.
- ``{moving: A|B}`` is A in a migration and B elsewhere; without ``|B`` nothing. ``loading`` instead
  of ``moving`` tells a saved state that QEMU refuses to load from all else. ``other log: A`` is A
  unless the reader has given the logs of both sides.

Other braces are a message's parameters and stay as they are, as do doubled ones.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache


class Setting(enum.StrEnum):
    """What was being done, as far as texts differ by it."""

    MOVING = "moving"
    STARTING = "starting"
    SAVING = "saving"
    RESTORING = "restoring"
    LOADING = "loading"


_S = Setting


def _here(words: str, loading: str = "") -> Mapping[Setting, str]:
    """One host does it: *words* in every setting but a migration."""
    return {_S.STARTING: words, _S.SAVING: words, _S.RESTORING: words, _S.LOADING: loading or words}


TERMS: Mapping[str, Mapping[Setting, str]] = {
    "the destination": _here("this host", "this QEMU"),
    "the destination's": _here("this host's", "this QEMU's"),
    "the destination's host": _here("this host"),
    "the source's host": {
        _S.STARTING: "the earlier host",
        _S.SAVING: "this host",
        _S.RESTORING: "the saving host",
        _S.LOADING: "the saving host",
    },
    "the destination's QEMU": _here("this host's QEMU", "this QEMU"),
    "the destination host": _here("this host"),
    "this destination": _here("this host", "this QEMU"),
    "the source": {
        _S.STARTING: "the host that it ran on before",
        _S.SAVING: "this host",
        _S.RESTORING: "the host that saved it",
        _S.LOADING: "the QEMU that saved it",
    },
    "the source's": {
        _S.STARTING: "the earlier host's",
        _S.SAVING: "this host's",
        _S.RESTORING: "the saving host's",
        _S.LOADING: "the saved state's",
    },
    "the two sides": {_S.LOADING: "the two QEMUs"},
    "blocks the migration": {_S.SAVING: "blocks the saving of the VM's state"},
    "for the migration": {_S.SAVING: "for that time"},
    "during the migration": {_S.SAVING: "during it"},
    "before the migration": {_S.SAVING: "before it"},
    "after the migration": {_S.SAVING: "after it"},
    "migrate again": _here("try again"),
}
"""What a term reads as in each setting; where a setting is missing, as it stands."""

_CHOICES = {"moving": _S.MOVING, "loading": _S.LOADING}
_OTHER_LOG = "other log"
SENT, HERE = "{loading: saved state|source}", "{loading: this QEMU|destination}"
"""Before a value: whose it is."""
DROPS = "{drops the state}"
"""Stands in a text that says how to do without a saved state; reads as nothing."""
_HEAD = re.compile(rf"\{{({'|'.join((*_CHOICES, _OTHER_LOG))}): ")
_TERM = re.compile(rf"\{{({'|'.join(sorted(TERMS, key=len, reverse=True))})\}}", re.IGNORECASE)
# A blank, a comma and the like before what reads as nothing go with it.
_NOTHING = "\0"
_AROUND_NOTHING = re.compile(
    rf"^[{_NOTHING}\s]*(?={_NOTHING})|\s*{_NOTHING}(?=[\s.;:,){_NOTHING}]|$)|^{_NOTHING}\s*|{_NOTHING}"
)


@lru_cache(maxsize=4096)
def said(text: str, setting: Setting = Setting.MOVING, *, both_logs: bool = False) -> str:
    """*text* as it reads in a setting.

    :param both_logs: the reader has given the logs of both sides.
    """
    if "{" not in text:
        return text
    text = text.replace(DROPS, _NOTHING)
    while found := _HEAD.search(text):
        end, bar = _end(text, found.end())
        if end < 0:  # of a log: nothing that we wrote
            break
        holds = not both_logs if found[1] == _OTHER_LOG else setting is _CHOICES[found[1]]
        words = text[found.end() : bar] if holds else text[bar + 1 : end]
        text = f"{text[: found.start()]}{words or _NOTHING}{text[end + 1 :]}"
    text = _TERM.sub(lambda term: _term(term[1], setting), text)
    if _NOTHING not in text:
        return text
    begins = text.startswith(_NOTHING)
    text = _AROUND_NOTHING.sub("", text).strip()
    return f"{text[:1].upper()}{text[1:]}" if begins else text


def asks_for_logs(text: str) -> bool:
    """Does a text send to a log that the reader may have given already?"""
    return f"{{{_OTHER_LOG}: " in text


def _end(text: str, start: int) -> tuple[int, int]:
    """Where a group ends whose words begin at *start*, and its bar, or its end where it has none.

    -1 for both where it does not end.
    """
    depth, bar = 0, -1
    for at in range(start, len(text)):
        if text[at] == "{":
            depth += 1
        elif text[at] == "}" and depth:
            depth -= 1
        elif text[at] == "}":
            return at, bar if bar >= 0 else at
        elif text[at] == "|" and not depth and bar < 0:
            bar = at
    return -1, -1


def _term(name: str, setting: Setting) -> str:
    words = TERMS[name[:1].lower() + name[1:]].get(setting, name)
    return f"{words[:1].upper()}{words[1:]}" if name[:1].isupper() else words


def groups(text: str) -> Iterator[str]:
    """The terms and choices of a text, for its tests."""
    yield from (found[1] for pattern in (_HEAD, _TERM) for found in pattern.finditer(text))
