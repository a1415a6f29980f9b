"""The configuration section: presence and UUID."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.commandline.line import global_of
from migratable.hints import line_edits, machine_options
from migratable.hints.candidate import Candidate, Situation
from migratable.releases import MachineType
from migratable.verdict import Finding


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """``migration.send-configuration`` and ``-uuid`` as the source had them."""
    del finding
    configuration = situation.stream.configuration
    received = situation.stream.machine
    if received and received != situation.machine and received in situation.parts.machines:
        yield line_edits.machine("type", received)
    for option in situation.line.all("global"):
        if global_of(option)[0] == "migration":
            yield line_edits.removed(option, f"-global {option.value}")
    if configuration is None:
        bare = not any(section.footer for section in situation.stream.sections)
        if bare:  # no footers either: not an option, an old machine type
            yield from _older(situation)
        yield Candidate(
            action="-global migration.send-configuration=off",
            edit=lambda line: line.with_global("migration", "send-configuration", "off"),
        )
        yield from machine_options.machine(situation, "enforce-config-section", "off")
        if not bare:
            yield from _older(situation)
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


def _older(situation: Situation) -> Iterator[Candidate]:
    """Machine types up to 2.3, whose streams have no configuration section, newest first."""
    family = situation.machine.rpartition("-")[0]
    found = [
        machine for machine in situation.parts.machines if machine.rpartition("-")[0] == family
    ]
    numbers = [
        (number, one)
        for one in found
        if (number := MachineType.parse(one).version) and number < (2, 4)
    ]
    for _, name in sorted(numbers, reverse=True):
        yield line_edits.machine("type", name)
