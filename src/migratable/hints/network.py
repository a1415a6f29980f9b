"""Backends of network devices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.commandline import CommandLine
from migratable.hints.candidate import Candidate, Situation


def tap(name: str) -> str:
    """A tap, which has vnet_hdr; what it is joined to is the host's business."""
    return f"tap,id={name},script=no,downscript=no"


def with_tap(netdev: str, why: str) -> Candidate:
    """A netdev made a tap."""

    def edit(line: CommandLine) -> CommandLine:
        old = next(option for option in line.all("netdev") if option.fields.get("id") == netdev)
        return line.replace(old, replace(old, value=tap(netdev)))

    return Candidate(action=f"-netdev {tap(netdev)} ({why})", edit=edit)


def slirp(situation: Situation) -> Iterator[Candidate]:
    """A user network for each that the source had: a netdev of another kind, else one more."""
    for option in situation.line.all("netdev"):
        kind = option.fields.get("type")
        if kind == "user":
            continue
        name = option.fields.get("id") or ""

        def edit(line: CommandLine, name: str = name) -> CommandLine:
            now = next(one for one in line.all("netdev") if one.fields.get("id") == name)
            new = type(now)(name="netdev", value=f"user,id={name}", spelled=now.spelled)
            return line.replace(now, new)

        yield Candidate(action=f"-netdev user,id={name}", edit=edit)
    taken = {one.fields.get("id") for one in situation.line.all("netdev")}
    number = next(n for n in range(100) if f"user{n}" not in taken)
    yield Candidate(
        action=f"-netdev user,id=user{number}",
        edit=lambda line: line.append("netdev", f"user,id=user{number}"),
    )
