"""The configuration section: presence and UUID."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.commandline.line import global_of
from migratable.hints import line_edits, machine_options
from migratable.hints.candidate import Candidate, Situation
from migratable.releases import MachineType
from migratable.verdict import Finding


def candidates(at: Situation, finding: Finding) -> Iterator[Candidate]:
    """``migration.send-configuration`` and ``-uuid`` as the source had them."""
    del finding
    configuration = at.stream.configuration
    received = at.stream.machine
    if received and received != at.machine and received in at.parts.machines:
        yield line_edits.machine("type", received)
    for option in at.line.all("global"):
        if global_of(option)[0] == "migration":
            yield line_edits.removed(option, f"-global {option.value}")
    if configuration is None:
        bare = not any(section.footer for section in at.stream.sections)
        if bare:  # no footers either: not an option, an old machine type
            yield from _older(at)
        yield Candidate(
            action="-global migration.send-configuration=off",
            edit=lambda line: line.with_global("migration", "send-configuration", "off"),
        )
        yield from machine_options.machine(at, "enforce-config-section", "off")
        if not bare:
            yield from _older(at)
        return
    if configuration.uuid is not None:
        uuid = str(configuration.uuid)
        yield Candidate(
            action=f"-uuid {uuid}",
            edit=lambda line: machine_options.drop(line, "uuid").append("uuid", uuid),
        )
    yield Candidate(
        action="-global migration.send-configuration=on",
        edit=lambda line: line.with_global("migration", "send-configuration", "on"),
    )


def _older(at: Situation) -> Iterator[Candidate]:
    """Machine types up to 2.3, whose streams have no configuration section, newest first."""
    family = at.machine.rpartition("-")[0]
    found = [one for one in at.parts.machines if one.rpartition("-")[0] == family]
    numbers = [
        (number, one)
        for one in found
        if (number := MachineType.parse(one).version) and number < (2, 4)
    ]
    for _, name in sorted(numbers, reverse=True):
        yield line_edits.machine("type", name)
