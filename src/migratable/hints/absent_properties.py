"""Properties that the destination's release does not have, taken out together.

A program names one and ends, so that each is known only without the ones before it. One alone
would look worse than to leave its device out: another refusal to start hides what comes after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from migratable.commandline import CommandLine
from migratable.commandline.line import global_of
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.start_error import said
from migratable.verdict import Finding

_MOST = 12
_ABSENT = re.compile(
    r"(?:can't apply global (?P<driver>[^=\s]+)\.(?P<key>[^=.\s]+)=.*: )?"
    r"Property '(?P<what>[^']+)\.(?P<name>[^'.]+)' not found"
)
"""``qom/object.c: object_property_find_err``, ``hw/core/qdev-properties.c: object_apply_…``."""


@dataclass(frozen=True, slots=True)
class _Absent:
    """A property that a ``-global`` or the ``-device`` options of a driver have."""

    driver: str
    name: str
    is_global: bool

    def without(self, line: CommandLine, aliases: dict[str, str]) -> CommandLine:
        if self.is_global:
            for option in list(line.all("global")):
                if global_of(option)[:2] == (self.driver, self.name):
                    line = line.replace(option)
            return line
        for option, driver, _ in list(line.devices()):
            if aliases.get(driver, driver) == self.driver and self.name in option.fields:
                line = line.replace(option, option.with_fields(option.fields.delete(self.name)))
        return line

    @property
    def said(self) -> str:
        if self.is_global:
            return f"without -global {self.driver}.{self.name}="
        return f"-device {self.driver}: no {self.name}"


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """All of them, where there are several; one alone is :mod:`.remedies.destination_start`'s."""
    aliases = dict(situation.parts.aliases)
    line, text, absent = situation.line, said(finding)[2], list[_Absent]()
    while len(absent) < _MOST and (match := _ABSENT.search(text)) is not None:
        is_global = match["driver"] is not None
        one = _Absent(
            match["driver"] if is_global else match["what"],
            match["key"] if is_global else match["name"],
            is_global,
        )
        shorter = one.without(line, aliases)
        if shorter.argv == line.argv:
            break
        line = shorter
        absent.append(one)
        seen = situation.probe(line, situation.stream)
        if seen is None:
            return
        started = [refusal for refusal in seen[0].refusals if refusal.rule == finding.rule]
        if not started:
            break
        text = said(started[0])[2]
    if len(absent) < 2:
        return

    def edit(line: CommandLine) -> CommandLine:
        for one in absent:
            line = one.without(line, aliases)
        return line

    yield Candidate(action="; ".join(one.said for one in absent), edit=edit)
