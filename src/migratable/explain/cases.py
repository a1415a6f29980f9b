"""Public faults, matched against a failure: ``cases/*.toml``.

A case has conditions, all of which must hold: a message, its parameters (decimal), the errno text
of the closing line, or a regular expression over all lines. Cases never replace what QEMU said;
they add who else had it, and say how sure that is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from migratable.errors import KnowledgeError
from migratable.explain.grouping import Failure
from migratable.messages.catalogue import data_files, load_toml
from migratable.messages.recognise import Match
from migratable.messages.setting import Setting, said

CERTAINTIES = ("certain", "likely", "possible")
_RESERVED = {
    "message",
    "absent",
    "alone",
    "errno",
    "text",
    "text2",
    "arch",
    "extended",
    "missing",
    "register",
    "machine",
    "accel",
    "version",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A public fault.

    :ivar certainty: how surely a failure that fits the conditions is this one.
    :ivar rule, side: "" when the message's own hold.
    :ivar likely: further conditions (``version``, ``machine``, ``accel``, ``arch``) that make a
        possible case likely.
    """

    id: str
    certainty: str
    title: str
    explanation: str
    when: Mapping[str, str]
    rule: str = ""
    side: str = ""
    releases: str = ""
    now: str = ""
    prevent: str = ""
    references: tuple[str, ...] = ()
    likely: Mapping[str, str] = field(default_factory=dict)

    def names(self, text: str) -> bool:
        """Is *text* a line that this case is recognised by?"""
        return any(re.search(self.when[key], text) for key in ("text", "text2") if key in self.when)

    def said(self, setting: Setting) -> Case:
        """The case as it reads in a setting (:mod:`migratable.messages.setting`)."""
        return replace(
            self,
            title=said(self.title, setting),
            explanation=said(self.explanation, setting),
            now=said(self.now, setting),
            prevent=said(self.prevent, setting),
        )

    def to_json(self) -> dict[str, Any]:
        """The case as the JSON contract has it."""
        return {
            "id": self.id,
            "certainty": self.certainty,
            "title": self.title,
            "explanation": self.explanation,
            "releases": self.releases,
            "do_now": self.now,
            "do_for_ever": self.prevent,
            "references": list(self.references),
        }


@cache
def cases() -> tuple[Case, ...]:
    """All cases, in the order of their files.

    :raise KnowledgeError: when a case is incomplete or occurs twice.
    """
    found: dict[str, Case] = {}
    for name in data_files("explain/cases"):
        for entry in load_toml("explain/cases", name)["case"]:
            try:
                case = Case(
                    **{key: value for key, value in entry.items() if key != "references"},
                    references=tuple(entry.get("references", ())),
                )
            except TypeError as error:
                raise KnowledgeError(f"cases/{name}: {entry.get('id')!r}: {error}") from error
            if case.certainty not in CERTAINTIES or case.id in found:
                raise KnowledgeError(f"cases/{name}: {case.id!r}: bad certainty, or occurs twice")
            found[case.id] = case
    return tuple(found.values())


def matching(failure: Failure, main: Match | None, facts: Mapping[str, str]) -> Iterator[Case]:
    """Cases whose conditions hold, surest first.

    :param main: the message that matters.
    :param facts: ``errno`` (text), ``missing`` (names of feature bits), ``arch``, ``alone``
        (``yes`` when no cause was printed), ``extended`` (PCI offset above 0xff), ``register``
        (of a PCI capability, as ``MSI: MSI control``), ``version`` of QEMU, ``machine``, ``accel``.
    """
    fitting = [
        replace(case, certainty="likely")
        if case.certainty == "possible" and case.likely and _said(case.likely, facts)
        else case
        for case in cases()
        if _holds(case.when, failure, main, facts)
    ]
    yield from sorted(fitting, key=lambda case: CERTAINTIES.index(case.certainty))


def _holds(
    when: Mapping[str, str], failure: Failure, main: Match | None, facts: Mapping[str, str]
) -> bool:
    present = {match.message.id for _, match in failure.matches}
    if present & set(filter(None, when.get("absent", "").split("|"))):
        return False
    if not _said(when, facts):
        return False
    if "text" in when or "text2" in when:
        text = "\n".join(line.text for line in (*failure.unrecognised, *failure.lines))
        if not all(re.search(when[key], text) for key in ("text", "text2") if key in when):
            return False
    wanted = set(filter(None, when.get("message", "").split("|")))
    conditions = {key: value for key, value in when.items() if key not in _RESERVED}
    if not wanted and not conditions:
        return True
    for _, match in failure.matches:
        if wanted and match.message.id not in wanted:
            continue
        beside = main is not None and match.message.id != main.message.id
        if beside and main is not None and main.message.role == "cause" and "text" not in when:
            # What stands beside the cause (warnings, the place) must not bring another case in.
            continue
        if _conditions(conditions, match, failure):
            return True
    return False


def _said(when: Mapping[str, str], facts: Mapping[str, str]) -> bool:
    """Do the facts hold all of *when* that is about facts?"""
    for key in ("errno", "missing", "arch", "alone", "extended", "register", "machine", "accel"):
        if key in when and not re.search(when[key], facts.get(key, "")):
            return False
    return "version" not in when or within(facts.get("version", ""), when["version"])


def within(version: str, bounds: str) -> bool:
    """Is *version* (``5.2.0``) inside *bounds* (``>=4.0,<4.0.1``)? Not when it is unknown."""
    numbers = _numbers(version)
    if not numbers:
        return False
    for bound in bounds.split(","):
        other = _numbers(bound)
        width = max(len(numbers), len(other))
        one, two = (value + (0,) * (width - len(value)) for value in (numbers, other))
        sign = bound.strip()[0]
        inclusive = "=" in bound
        if one == two and not inclusive:
            return False
        if (sign == "<" and one > two) or (sign == ">" and one < two):
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(?:\.\d+)*", version.strip().lstrip("<>="))
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _conditions(conditions: Mapping[str, str], match: Match, failure: Failure) -> bool:
    for name, pattern in conditions.items():
        if name in match.params:
            values = [str(match.params[name])]
        elif name == "device":
            values = [
                str(other.params["device"])
                for _, other in failure.matches
                if "device" in other.params
            ] or [""]
        else:
            return False
        if not any(re.search(pattern, value) for value in values):
            return False
    return True
