"""Capabilities of pseries: the guest's level on the destination."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.commandline import CommandLine
from migratable.hints import cpus
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import CapabilitiesFacts
from migratable.verdict import Finding

_LEVELS = {
    "cfpc": ("broken", "workaround", "fixed"),
    "sbbc": ("broken", "workaround", "fixed"),
    "ibs": ("broken", "workaround", "fixed-ibs", "fixed-ccd", "fixed-na"),
}


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """``cap-NAME=LEVEL`` for all that are higher; the machine's own when the line sets them."""
    if not isinstance(finding.facts, CapabilitiesFacts):
        return
    values = {f"cap-{name}": value(name, level) for name, level, _ in finding.facts.higher}
    said = ",".join(f"{key}={text}" for key, text in values.items())

    def edit(line: CommandLine) -> CommandLine:
        for key, text in values.items():
            line = line.with_machine(key, text)
        return line

    yield Candidate(action=f"-machine …,{said}", edit=edit)
    given = [key for key in values if situation.line.get("machine", key) is not None]
    if given:

        def drop(line: CommandLine) -> CommandLine:
            for key in given:
                line = line.with_machine(key, None)
            return line

        yield Candidate(action="-machine without " + ", ".join(given), edit=drop)
    yield from cpus.models(situation)


def value(name: str, level: int) -> str:
    """A level as ``-machine`` takes it (hw/ppc/spapr_caps.c)."""
    levels = _LEVELS.get(name)
    if levels is not None and level < len(levels):
        return levels[level]
    if name == "hpt-max-page-size":
        return f"{1 << level >> 10}k" if level < 20 else f"{1 << level >> 20}M"
    return "on" if level else "off"
