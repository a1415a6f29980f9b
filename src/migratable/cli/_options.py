"""Options that several commands have, worded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from migratable.cli import _complete
from migratable.printable import quoted

if TYPE_CHECKING:
    from migratable.commandline import CommandLine

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
    "--release",
    metavar="X.Y",
    shell_complete=_complete.releases,
    help="Use this lab release instead of the program.",
)
program = click.option(
    "--program",
    "program",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False),
    help="The program to start for --to, when it is neither in the lab nor on PATH.",
)
to = click.option(
    "--to",
    metavar="NAME",
    shell_complete=_complete.profiles,
    help="A stored, bundled or exported profile of the destination.",
)
hints = click.option(
    "--hints/--no-hints", default=True, help="Try remedies for each refusal.  [default: hints]"
)
watch = click.option(
    "--watch",
    type=click.FloatRange(min=1.0),
    default=None,
    metavar="SECONDS",
    help="With --alive: how long to watch the guest.  [default: 20]",
)
yes = click.option("--yes", is_flag=True, help="Do not ask before a running VM is paused.")


def file(
    *names: str,
    exists: bool = False,
    required: bool = False,
    help: str | None = None,  # noqa: A002
) -> Callable[[Function], Function]:
    """An option with a file's name; *exists*: one that is there."""
    kind = click.Path(path_type=Path, dir_okay=False, exists=exists)
    return click.option(*names, metavar="FILE", type=kind, required=required, help=help)


def hint_seconds(default: float, words: str) -> Callable[[Function], Function]:
    """``--hint-seconds``."""
    least = click.FloatRange(min=0.0)
    return click.option(
        "--hint-seconds", type=least, default=default, show_default=True, help=words
    )


def timeout(words: str, *, least: float = 1.0) -> Callable[[Function], Function]:
    """``--timeout`` in seconds."""
    return click.option(
        "--timeout",
        type=click.FloatRange(min=least),
        default=60.0,
        show_default=True,
        help=words,
    )


FORMS = {".json": "json", ".xml": "junit", ".html": "html", ".htm": "html", ".txt": "text"}
"""How a result is written, by the ending of the file's name."""


def output(**forms: str) -> Callable[[Function], Function]:
    """``-o FILE``, which means the same everywhere: the whole result, in the form of its name."""
    endings = ", ".join(forms.values()) or ".txt, .json"
    words = f"Write the result to FILE; its ending selects the form ({endings})."
    return file("-o", "--output", help=words)


def form_of(form: str | None, output: Path | None, allowed: Sequence[str]) -> str:
    """How the result is written: as ``--format`` says, else as the file's name does, else as text.

    :raise click.UsageError: when the name says nothing, or a form that this command has not.
    """
    if form is not None or output is None:
        return form or "text"
    found = FORMS.get(output.suffix.lower())
    if found in allowed:
        return str(found)
    known = ", ".join(ending for ending, name in FORMS.items() if name in allowed)
    raise click.UsageError(
        f"{output}: its ending does not say how to write it; use one of {known}, or --format"
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
    text = str(command_file.read(_MOST + 1))
    _look_at_program(text)
    return text


def _look_at_program(text: str) -> None:
    """A file is data, from anywhere: only a program of QEMU is started that others cannot write.

    :raise click.UsageError: when it names another.
    """
    from migratable.commandline import parse
    from migratable.errors import CommandLineError
    from migratable.hosts.guests import may_be_program
    from migratable.qemu.ownership import changeable

    try:
        words = parse(text, need_program=False).program
    except CommandLineError:
        return  # it is said where it is read
    if not words or words[0].startswith("lab:"):
        return
    path = Path(words[0])
    if "/" in words[0] and not path.exists():
        return  # looked for in the lab and on PATH, by the name of a QEMU
    why = changeable(path) if "/" in words[0] else ""
    why = why or ("" if may_be_program(path.name) else f"{path} is not a QEMU")
    if why:
        raise click.UsageError(
            f"the file names the program {words[0]}, which is not started: {why}; if you trust it, "
            "give the command line after --"
        )


def for_profile(name: str, program: str | None, release: str | None = None) -> CommandLine:
    """The command line of a profile, with a program that may be started for it.

    :param release: a lab release that will stand in the place of the program.
    :raise click.UsageError: when there is none.
    """
    from migratable.commandline import parse
    from migratable.profile.at_hand import at_hand
    from migratable.profile.bundled import find

    profile = find(name)
    if not profile.command_line:
        raise click.UsageError(f"profile {quoted(name)} has no command line to start")
    if release is not None:
        return parse(list(profile.command_line), need_program=False)
    found = at_hand(profile, program=(program,) if program else ())
    if found.line is None:
        raise click.UsageError(f"profile {quoted(name)} cannot be started here: {found.why}")
    return found.line
