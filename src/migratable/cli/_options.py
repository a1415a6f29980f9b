"""Options that several commands have, worded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])

_MOST = 4 << 20

from_file = click.option(
    "--from",
    "command_file",
    metavar="FILE",
    type=click.File("r", errors="replace"),
    help="Read the command line from a file (a libvirt log, ps output, a forum post); - is stdin.",
)
release = click.option(
    "--release", metavar="X.Y", help="Use this lab release in the place of the program."
)
yes = click.option("--yes", is_flag=True, help="Do not ask before a running VM is paused.")


def timeout(words: str, *, least: float = 1.0) -> Callable[[Function], Function]:
    """``--timeout`` in seconds."""
    return click.option(
        "--timeout",
        type=click.FloatRange(min=least),
        default=60.0,
        show_default=True,
        help=words,
    )


def text_or_json(function: Function) -> Function:
    """``--format`` with text and JSON, and ``--json``; the value is ``form``."""
    short = click.option("--json", "form", flag_value="json", help="The same as --format json.")
    long = click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
    return long(short(function))


def given_line(command_line: tuple[str, ...], command_file: Any) -> list[str] | str | None:
    """The command line from behind ``--`` or from the file of ``--from``; None without either.

    :raise click.UsageError: when both are given.
    """
    if command_file is None:
        return list(command_line) or None
    if command_line:
        raise click.UsageError("give the command line after -- or in a file, not both")
    return str(command_file.read(_MOST + 1))
