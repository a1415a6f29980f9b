"""``migratable preflight``: can a guest move to another host, and come back?"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from migratable.cli import _complete, _options

if TYPE_CHECKING:
    from migratable.hosts.address import Address
    from migratable.hosts.connection import Connection
    from migratable.hosts.preflight import Options

_FORMS = ("text", "json", "junit", "html")


class _Command(click.Command):
    """``--to A B``: all words up to the next option are hosts."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        words: list[str] = []
        hosts = False
        for word in args:
            if word == "--to":
                hosts = True
                continue
            if word.startswith("-"):
                hosts = False
            words += ["--to", word] if hosts else [word]
        if "--to" in args and "--to" not in words:
            raise click.UsageError("--to needs a host", ctx)
        return super().parse_args(ctx, words)


@click.command(cls=_Command)
@click.argument("sources", metavar="GUEST|HOST…", nargs=-1, required=True)
@click.option(
    "--to",
    multiple=True,
    required=True,
    metavar="HOST…",
    shell_complete=_complete.hosts,
    help="The destination host.",
)
@_options.yes
@click.option(
    "--no-pause", is_flag=True, help="Do not pause the guest: use its machine's power-on state."
)
@click.option(
    "--untried",
    is_flag=True,
    help="Capture a VM without the trial save in a copy, if no copy can be started.",
)
@click.option("--program", metavar="PATH", default="", help="The destination's QEMU.")
@click.option("--copy-storage", is_flag=True, help="The migration copies the disks too.")
@click.option("--back/--no-back", default=True, help="Test the way back too.  [default: back]")
@click.option("--sudo", is_flag=True, help="Run as root on the hosts, with sudo -n.")
@click.option("--keep", is_flag=True, help="Leave the program on the hosts for the next run.")
@click.option(
    "--ssh",
    metavar="COMMAND",
    default="",
    help="The ssh client, with options.  [default: $MIGRATABLE_SSH, or ssh]",
)
@_options.output(text=".txt", json=".json", junit=".xml", html=".html")
@_options.file("--page", help="Write a web page beside the result.")
@_options.file("--results", help="Write each pair's result to FILE when it is known.")
@click.option("--resume", is_flag=True, help="Do not repeat pairs that --results has.")
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="Pairs tried at the same time.",
)
@_options.hint_seconds(4.0, "Seconds to search for remedies.")
@_options.timeout("Seconds for a QEMU to start, and for each step.")
@click.option("--format", "form", type=click.Choice(_FORMS))
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.pass_context
def command(
    ctx: click.Context,
    sources: tuple[str, ...],
    to: tuple[str, ...],
    yes: bool,
    no_pause: bool,
    untried: bool,
    program: str,
    copy_storage: bool,
    back: bool,
    sudo: bool,
    keep: bool,
    ssh: str,
    output: Path | None,
    page: Path | None,
    results: Path | None,
    resume: bool,
    jobs: int,
    hint_seconds: float,
    timeout: float,
    form: str | None,
) -> None:
    r"""Check on both hosts whether a guest can move to a host, and come back.

    preflight captures the guest (a pause of milliseconds). The destination builds its own command
    line, and its own QEMU, inert, loads the guest's device state. The guest's own host tests the
    way back. preflight also compares the hosts: disks, networks, CPU, memory.

    GUEST is libvirt:NAME, qmp:SOCKET or ssh://HOST/NAME; a HOST (ssh://HOST, or HOST) means all
    of its guests. Hosts need Python 3.9 and their QEMU; nothing is left on them.

    Exit status: 0 loads, 1 refused, 3 unknown; 2 usage or failure of this tool.

    \b
    migratable preflight libvirt:web1 --to node2
    migratable preflight ssh://node1/web1 --to ssh://node2 --yes
    migratable preflight ssh://node1 --to ssh://node2 ssh://node3 --yes --page fleet.html
    """
    from migratable.hosts.address import Address
    from migratable.hosts.preflight import Options

    form = _options.form_of(form, output, _FORMS)
    if resume and results is None:
        raise click.UsageError("--resume needs --results FILE")
    options = Options(
        pause=not no_pause,
        untried=untried,
        program=program,
        copies_storage=copy_storage,
        back=back,
        hint_seconds=hint_seconds,
        timeout=timeout,
    )
    guests = [Address.parse(text) for text in sources]
    hosts = [Address.parse(text) for text in to]
    for text, host in zip(to, hosts, strict=True):
        if host.guest:
            raise click.UsageError(f"--to {text}: a host, without a guest")

    def connect(address: Address) -> Connection:
        from migratable.hosts.connection import Connection

        return Connection(address, keep=keep, sudo=sudo, ssh=ssh)

    alone = len(guests) == 1 and guests[0].guest and len(hosts) == 1 and results is None
    if alone and form in {"text", "json"} and page is None:
        ctx.exit(_one(guests[0], hosts[0], options, connect, form, output, yes=yes))
    ctx.exit(
        _fleet(guests, hosts, options, connect, form, output, page, results, resume, jobs, yes=yes)
    )


def _one(
    guest: Address,
    host: Address,
    options: Options,
    connect: Callable[[Address], Connection],
    form: str,
    output: Path | None,
    *,
    yes: bool,
) -> int:
    import contextlib

    from migratable.cli._confirm import asker
    from migratable.hosts.preflight import agreed, connected, preflight, take
    from migratable.report.preflight_text import Progress, show

    progress = Progress(shown=form == "text")
    with progress as told, contextlib.ExitStack() as stack:
        source, destination = connect(guest), connect(host)
        connected([source, destination], stack)
        ask = asker(yes=yes)

        def confirm(words: str) -> bool:
            progress.pause()
            assert ask is not None
            return ask(words)

        taken = take(
            source,
            guest.guest,
            options,
            confirm=agreed if yes else confirm if ask is not None else None,
            told=told,
        )
        found = preflight(source, destination, taken, options, told=told)
    if form == "json":
        _write(json.dumps(found.to_json(), ensure_ascii=False) + "\n", output)
    elif output is None:
        show(found.to_json(), found.verdict)
    else:
        import io

        from rich.console import Console

        buffer = io.StringIO()
        show(found.to_json(), found.verdict, console=Console(file=buffer, width=100))
        _write(buffer.getvalue(), output)
    return found.outcome.exit_status


def _fleet(
    guests: list[Address],
    hosts: list[Address],
    options: Options,
    connect: Callable[[Address], Connection],
    form: str,
    output: Path | None,
    page: Path | None,
    results: Path | None,
    resume: bool,
    jobs: int,
    *,
    yes: bool,
) -> int:
    from migratable.cli._confirm import asker
    from migratable.cli.matrix import _progress
    from migratable.cli.matrix import _write as write_matrix
    from migratable.errors import CaptureError
    from migratable.hosts.fleet import Results, run

    confirm = asker(yes=yes)
    if confirm is None and options.pause:
        raise CaptureError(
            "the capture pauses each of these guests for some milliseconds; add --yes, or "
            "--no-pause to use the power-on states of their machines"
        )
    with _progress() as done:
        result = run(
            guests,
            hosts,
            options,
            connect=connect,
            confirm=confirm,
            told=lambda host, step: None,
            done=done or (lambda what, number, total: None),
            jobs=jobs,
            results=Results(results, resume=resume),
        )
    document: Mapping[str, Any] = result.to_json()
    write_matrix(document, form, output, unfolded=False)
    if page is not None:
        write_matrix(document, "html", page, unfolded=False)
    for text in result.failures:
        click.echo(f"failed: {text}", err=True)
    return result.matrix.exit_status


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    from migratable.fleet.document import write_whole

    write_whole(output, [text])
