"""The network backend: with or without vnet_hdr."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.profile.commandline import CommandLine
from migratable.rehearse.hints import devices
from migratable.rehearse.hints.candidate import Candidate, Situation
from migratable.verdict import Finding


def candidates(at: Situation, finding: Finding) -> Iterator[Candidate]:
    """A tap, which has it."""
    option, _ = devices.option_of(at, finding.device or "")
    netdev = None if option is None else option.fields.get("netdev")
    if netdev is None:
        return

    def edit(line: CommandLine) -> CommandLine:
        old = next(one for one in line.all("netdev") if one.fields.get("id") == netdev)
        new = type(old)(name="netdev", value=f"tap,id={netdev}", spelled=old.spelled)
        return line.replace(old, new)

    yield Candidate(action=f"-netdev tap,id={netdev} (it has vnet_hdr)", edit=edit)
