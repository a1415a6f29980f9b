"""``migratable rehearse``: load a VM's device state into the real destination program."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from migratable.cli import _options, _way_back

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from migratable.capture.model import Source
    from migratable.commandline import CommandLine
    from migratable.errors import MigratableError
    from migratable.rehearse import Destination
    from migratable.rehearse.way_back import Home
    from migratable.verdict import Verdict


@click.command(context_settings={"ignore_unknown_options": False})
@click.argument("source")
@click.argument("command_lines", metavar="-- QEMU-COMMAND-LINE [-- …]", nargs=-1)
@click.option(
    "--to", "profiles", metavar="NAME", multiple=True, help="The command line of a profile."
)
@_options.from_file
@click.option(
    "--release",
    "releases",
    metavar="X.Y",
    multiple=True,
    help="Try this lab release instead of the command line's program; repeatable.",
)
@_options.program
@click.option(
    "--alive",
    is_flag=True,
    help="Load guest memory too, let the guest run, and report whether it keeps running.",
)
@_options.watch
@_way_back.options
@_options.hints
@click.option(
    "--hint-seconds",
    type=click.FloatRange(min=0.0),
    default=4.0,
    show_default=True,
    help="Seconds to search for remedies, for each destination.",
)
@_options.timeout("Seconds for each destination to start and load.", least=0.1)
@click.option("--jobs", type=click.IntRange(min=1), help="Destinations that run at the same time.")
@_options.yes
@_options.text_or_json
def command(
    source: str,
    command_lines: tuple[str, ...],
    profiles: tuple[str, ...],
    command_file: Any,
    releases: tuple[str, ...],
    program: str | None,
    alive: bool,
    watch: float | None,
    and_back: bool,
    back_to: str | None,
    hints: bool,
    hint_seconds: float,
    timeout: float,
    jobs: int | None,
    yes: bool,
    form: str,
) -> None:
    r"""Load SOURCE's device state into real destinations, without guest memory.

    Each destination starts paused and inert: it opens nothing of the host and listens nowhere.
    rehearse shows its verdict, explains every line that it prints, and gives the same remedies as
    check. Time and memory do not depend on the guest's RAM.

    SOURCE is a stream file, a profile, qmp:SOCKET or libvirt:DOMAIN.

    \b
    migratable rehearse guest.mig -- qemu-system-x86_64 -machine pc-q35-7.2 -m 4G …
    migratable rehearse guest.mig --release 7.2 --release 10.0 -- qemu-system-x86_64 …
    migratable rehearse guest.mig --to host7 --to host9
    migratable rehearse guest.mig -- qemu-system-x86_64 … -- /opt/qemu/bin/qemu-system-x86_64 …
    """
    if watch is not None and not alive:
        raise click.UsageError("--watch needs --alive")
    from migratable.capture.source import is_live, open_source
    from migratable.cli._confirm import asker
    from migratable.errors import MigratableError

    destinations = _destinations(command_lines, profiles, command_file, releases, program)
    if is_live(source):
        if alive:
            raise click.UsageError(
                f"{source} is captured without guest memory, which --alive needs"
            )
        for destination in destinations:
            destination.program()  # no VM is paused for a destination that is not there
    opened = open_source(source, confirm=asker(yes=yes))
    facts = {**opened.facts, "name": opened.name}
    home = _way_back.home_of(opened, back_to, asked=and_back, timeout=timeout)
    answers = _answers(opened.stream, destinations, facts, alive, watch, timeout, jobs)
    seconds = hint_seconds if hints else None
    answers = [
        answer
        if isinstance(answer, MigratableError)
        else _more(answer, opened, destination, home, seconds, timeout)
        for answer, destination in zip(answers, destinations, strict=True)
    ]
    if form == "json":
        _print_json(answers, destinations)
    else:
        from migratable.report.rehearsal_text import show

        show(
            opened.name, opened.stream, answers, [destination.name for destination in destinations]
        )
    sys.exit(_status(answers, home))


def _more(
    verdict: Verdict,
    opened: Source,
    destination: Destination,
    home: Home | None,
    seconds: float | None,
    timeout: float,
) -> Verdict:
    """The way back, the cause by its name, and remedies.

    :param seconds: for remedies; None: none are wanted.
    """
    from migratable.errors import MigratableError
    from migratable.hints import advised, tried
    from migratable.rehearse.disagreement import named
    from migratable.verdict import Outcome

    line, release = destination.line(), destination.release
    if home is not None:
        verdict = _way_back.with_way_back(
            verdict, opened, line, None, home, release=release, timeout=timeout
        )
    if verdict.outcome is not Outcome.REFUSED:
        return verdict
    try:
        verdict = named(verdict, _way_back.predicted(opened.stream, line, release, timeout))
        if seconds is not None:
            verdict = tried(
                verdict, opened.stream, line, release=release, budget_seconds=seconds, home=home
            )
    except MigratableError:
        pass  # the answer does not depend on it
    return verdict if seconds is None else advised(verdict)


def _answers(
    stream: Any,
    destinations: Sequence[Destination],
    facts: dict[str, Any],
    alive: bool,
    watch: float | None,
    timeout: float,
    jobs: int | None,
) -> list[Verdict | MigratableError]:
    from migratable.rehearse import rehearse_all

    if alive and sys.stderr.isatty():
        click.echo(f"watching the guest for {watch or 20:g} s", err=True)
    with _progress(len(destinations)) as done:
        return rehearse_all(
            stream,
            destinations,
            timeout=timeout,
            jobs=jobs,
            source=facts,
            done=done,
            watch=(watch or 20.0) if alive else None,
        )


def _destinations(
    command_lines: tuple[str, ...],
    profiles: tuple[str, ...],
    command_file: Any,
    releases: tuple[str, ...],
    program: str | None,
) -> list[Destination]:
    from migratable.rehearse import Destination

    lines: list[tuple[str, list[str] | str | CommandLine]] = []
    words: list[str] = []
    for word in (*command_lines, "--"):
        if word != "--":
            words.append(word)
        elif words:
            lines.append((words[0].rpartition("/")[2], words))
            words = []
    if command_file is not None:
        lines.append((command_file.name, _options.given_line((), command_file) or ""))
    lines += [(name, _options.for_profile(name, program, *releases[:1])) for name in profiles]
    if not lines:
        raise click.UsageError(
            "no destination; give its QEMU command line after --, or --to PROFILE, or --from FILE"
        )
    return [
        Destination(
            command_line=line,
            release=release,
            name=" ".join(filter(None, [name if len(lines) > 1 else "", release])) or name,
        )
        for name, line in lines
        for release in (releases or (None,))
    ]


class _progress:  # noqa: N801 -- used like a function
    """A bar on stderr for several destinations, on a terminal only."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._bar: Any = None

    def __enter__(self) -> Callable[[int], None] | None:
        if self._total < 2 or not sys.stderr.isatty():
            return None
        self._bar = click.progressbar(length=self._total, label="rehearsing", file=sys.stderr)
        self._bar.__enter__()
        return lambda _: self._bar.update(1)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.__exit__(None, None, None)


def _print_json(
    answers: Sequence[Verdict | MigratableError], destinations: Sequence[Destination]
) -> None:
    from migratable.errors import MigratableError

    if len(answers) == 1:
        only = answers[0]
        if isinstance(only, MigratableError):
            raise only
        click.echo(json.dumps(only.to_json(), default=str))
        return
    rows = [
        {"name": destination.name, "error": str(answer)}
        if isinstance(answer, MigratableError)
        else {"name": destination.name, **answer.to_json()}
        for destination, answer in zip(destinations, answers, strict=True)
    ]
    click.echo(json.dumps({"schema": "migratable.rehearsals/1", "rehearsals": rows}, default=str))


def _status(answers: Sequence[Verdict | MigratableError], home: Home | None) -> int:
    """The gravest: a failure of ours, refused, unknown, loads."""
    from migratable.errors import MigratableError

    found = {
        2 if isinstance(answer, MigratableError) else _way_back.exit_status(answer, home)
        for answer in answers
    }
    return next(status for status in (2, 1, 3, 0) if status in found)
