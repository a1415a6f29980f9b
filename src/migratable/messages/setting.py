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
from collections.abc import Mapping
from dataclasses import dataclass, field
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
_HEADS = "|".join((*_CHOICES, _OTHER_LOG))
_PART = re.compile(rf"\{{(?P<head>{_HEADS}): |[{{|}}]")
_FORMS = sorted((*TERMS, *(f"{name[0].upper()}{name[1:]}" for name in TERMS)), key=len)
_TERM = re.compile(rf"\{{({'|'.join(reversed(_FORMS))})\}}")
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
    text = _chosen(text.replace(DROPS, _NOTHING), setting, both_logs=both_logs)
    text = _TERM.sub(lambda term: _term(term[1], setting), text)
    if _NOTHING not in text:
        return text
    begins = text.startswith(_NOTHING)
    text = _AROUND_NOTHING.sub("", text).strip()
    return f"{text[:1].upper()}{text[1:]}" if begins else text


def asks_for_logs(text: str) -> bool:
    """Does a text send to a log that the reader may have given already?"""
    return f"{{{_OTHER_LOG}: " in text


@dataclass(slots=True)
class _Group:
    """A group that is open: what it began with, and its words before and after the bar."""

    head: str
    holds: bool | None  # None: no choice, a parameter's braces
    words: list[str] = field(default_factory=list)
    before: list[str] | None = None

    def closed(self) -> str:
        words, before = "".join(self.words), self.before
        if self.holds is None:
            return f"{self.head}{words}}}"
        first, other = (words, "") if before is None else ("".join(before), words)
        return (first if self.holds else other) or _NOTHING

    def unclosed(self) -> str:
        """As it stands: nothing that we wrote."""
        before = "" if self.before is None else f"{''.join(self.before)}|"
        return f"{self.head}{before}{''.join(self.words)}"


def _chosen(text: str, setting: Setting, *, both_logs: bool) -> str:
    """*text* with each choice made, in one pass: a log's words may stand in it."""
    opened, place = [_Group(head="", holds=None)], 0
    for found in _PART.finditer(text):
        group = opened[-1]
        group.words.append(text[place : found.start()])
        place, part = found.end(), found[0]
        if (head := found["head"]) is not None:
            holds = not both_logs if head == _OTHER_LOG else setting is _CHOICES[head]
            opened.append(_Group(head=part, holds=holds))
        elif part == "{":
            opened.append(_Group(head=part, holds=None))
        elif part == "}" and len(opened) > 1:
            opened.pop()
            opened[-1].words.append(group.closed())
        elif part == "|" and group.holds is not None and group.before is None:
            group.before, group.words = group.words, []
        else:
            group.words.append(part)
    opened[-1].words.append(text[place:])
    return "".join(group.unclosed() for group in opened)


def _term(name: str, setting: Setting) -> str:
    words = TERMS[name[:1].lower() + name[1:]].get(setting, name)
    return f"{words[:1].upper()}{words[1:]}" if name[:1].isupper() else words
