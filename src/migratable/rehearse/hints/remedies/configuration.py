"""The configuration section: presence and UUID."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.profile.commandline_line import global_of
from migratable.rehearse.hints import edits, knobs
from migratable.rehearse.hints.candidate import Candidate, Situation
from migratable.verdict import Finding


def candidates(at: Situation, finding: Finding) -> Iterator[Candidate]:
    """``migration.send-configuration`` and ``-uuid`` as the source had them."""
    del finding
    configuration = at.stream.configuration
    for option in at.line.all("global"):
        if global_of(option)[0] == "migration":
            yield edits.removed(option, f"-global {option.value}")
    if configuration is None:
        yield Candidate(
            action="-global migration.send-configuration=off",
            edit=lambda line: line.with_global("migration", "send-configuration", "off"),
        )
        yield from knobs.machine(at, "enforce-config-section", "off")
        return
    if configuration.uuid is not None:
        uuid = str(configuration.uuid)
        yield Candidate(
            action=f"-uuid {uuid}", edit=lambda line: knobs.drop(line, "uuid").append("uuid", uuid)
        )
    yield Candidate(
        action="-global migration.send-configuration=on",
        edit=lambda line: line.with_global("migration", "send-configuration", "on"),
    )
