"""``migratable completion``: what a shell needs to complete, and the manual page."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator

import click

from migratable import __version__
from migratable.cli._help import grouped

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_MIGRATABLE_COMPLETE"


@click.command()
@click.argument("what", type=click.Choice([*_SHELLS, "man"]))
def command(what: str) -> None:
    r"""Print a shell's completion script, or the manual page.

    The shell then completes commands, options, files, and the names of profiles, rules, QEMU
    releases and hosts.

    \b
    migratable completion bash > ~/.local/share/bash-completion/completions/migratable
    migratable completion man > ~/.local/share/man/man1/migratable.1
    """
    from migratable.cli import cli

    if what == "man":
        click.echo("\n".join(manual(cli)))
        return
    from click.shell_completion import get_completion_class

    found = get_completion_class(what)
    assert found is not None
    click.echo(found(cli, {}, "migratable", _VARIABLE).source())


def manual(group: click.Group) -> Iterator[str]:
    """The manual page in man's macros, every command with its options."""
    context = click.Context(group, info_name="migratable")
    stamp = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.datetime.fromtimestamp(int(stamp), datetime.UTC) if stamp else now
    yield f'.TH MIGRATABLE 1 "{day:%Y-%m-%d}" "migratable {__version__}" "User Commands"'
    yield ".SH NAME"
    yield "migratable \\- will this QEMU virtual machine load on that destination?"
    yield ".SH SYNOPSIS"
    yield ".B migratable"
    yield ".I COMMAND"
    yield "[\\fIOPTION\\fR|\\fIARGUMENT\\fR]..."
    yield ".SH DESCRIPTION"
    yield from _paragraphs(group.help or "")
    for _, names in grouped(group.list_commands(context)):
        for name in names:
            found = group.get_command(context, name)
            assert found is not None
            yield from _command(found, click.Context(found, info_name=name, parent=context))
    yield ".SH EXIT STATUS"
    for status, words in (
        ("0", "The guest loads."),
        ("1", "It is refused."),
        ("2", "Usage, or a failure of this tool: no answer."),
        ("3", "No prediction possible."),
    ):
        yield f".TP\n.B {status}\n{words}"
    yield ".SH ENVIRONMENT"
    for name, words in (
        ("MIGRATABLE_DATA", "Folder of stored profiles."),
        ("MIGRATABLE_CACHE", "Folder of cached facts about programs."),
        ("MIGRATABLE_LAB", "Folder of the lab's QEMU releases."),
        ("MIGRATABLE_SSH", "The ssh client of preflight, with options."),
        ("LIBVIRT_DEFAULT_URI", "The libvirt to use."),
    ):
        yield f".TP\n.B {name}\n{words}"


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f'.SH "{context.command_path.upper()}"'
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"\\fB{_plain(context.command_path)}\\fR {_plain(usage)}"
    yield ".PP"
    yield from _paragraphs(command.help or "")
    for param in command.get_params(context):
        record = param.get_help_record(context)
        if record is not None:
            yield ".TP"
            yield f"\\fB{_plain(record[0])}\\fR"
            yield _plain(record[1])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _command(found, click.Context(found, info_name=name, parent=context))


def _paragraphs(text: str) -> Iterator[str]:
    for part in re.split(r"\n\s*\n", text.strip()):
        if part.lstrip().startswith("\b"):
            yield ".PP\n.nf"
            yield from (_plain(line.strip()) for line in part.splitlines() if line.strip() != "\b")
            yield ".fi"
        else:
            yield ".PP\n" + _plain(" ".join(part.split()))


def _plain(text: str) -> str:
    """Text without meaning for man."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text
