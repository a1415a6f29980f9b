"""How ``migratable --help`` lists the commands: by what they are for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Will it load, and why not", ("check", "preflight", "matrix", "explain", "capture")),
    (
        "More about a guest and its hosts",
        (
            "rehearse",
            "profile",
            "route",
            "convert",
            "relay",
            "inspect",
            "diff",
            "rule",
            "serve",
            "completion",
        ),
    ),
    ("For people who change QEMU", ("whatif", "caps", "lab")),
)
"""Commands of each group; one that is in none is with the second."""


def grouped(names: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """The commands that there are, by group."""
    known = {name for _, members in GROUPS for name in members}
    for number, (title, members) in enumerate(GROUPS):
        found = [name for name in members if name in names]
        if number == 1:
            found += [name for name in names if name not in known]
        if found:
            yield title, found


def summary(command: click.Command) -> str:
    """The first sentence of a command's help, whole."""
    return command.get_short_help_str(limit=300).rstrip(".")
