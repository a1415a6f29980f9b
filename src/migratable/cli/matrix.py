"""``migratable matrix``: many VMs against many hosts, or QEMU releases against one another."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from migratable.cli import _options

if TYPE_CHECKING:
    from migratable.fleet.entities import Progress
    from migratable.fleet.pairs import Check

T = TypeVar("T")

_LISTS = ("--releases", "--machines", "--devices")
_FORMS = ("text", "json", "junit", "html")


class _Lists(click.Command):
    """Options that take words up to the next option: ``--releases 7.2 10.0 11.1``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Join the words of each list by commas before click sees them."""
        out: list[str] = []
        at = 0
        while at < len(args):
            word = args[at]
            at += 1
            out.append(word)
            if word in _LISTS:
                words = []
                while at < len(args) and not args[at].startswith("-"):
                    words.append(args[at])
                    at += 1
                if words:
                    out.append(",".join(words))
        return super().parse_args(ctx, out)


@click.command(cls=_Lists)
@click.argument("fleet", required=False, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(_FORMS))
@_options.output(text=".txt", json=".json", junit=".xml", html=".html")
@click.option("--all", "unfolded", is_flag=True, help="Text: a row for every VM, equal or not.")
@click.option(
    "--yes",
    "--pause",
    "pause",
    is_flag=True,
    help="Running VMs may be paused for their capture (milliseconds).",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1, max=256),
    default=2,
    show_default=True,
    help="QEMU programs that run at the same time.",
)
@_options.timeout("Seconds for a QEMU to start, and for each step.")
@_options.hint_seconds(20.0, "Seconds to search for remedies; 0: do not search.")
@_options.file(
    "--project",
    "project_file",
    help="Project file that lowers, raises or silences rules.  [default: migratable.toml, "
    "in this folder or above]",
)
@click.option("--no-project", is_flag=True, help="Do not look for a project file.")
@click.option("--releases", metavar="X.Y …", help="Compare QEMU releases with one another.")
@click.option(
    "--machines", metavar="all|NAME …", help="With --releases: machine types; * is allowed."
)
@click.option("--devices", metavar="all|NAME …", help="With --releases: devices; * is allowed.")
@click.option("--arch", default="x86_64", show_default=True, help="With --releases: QEMU's target.")
@click.option(
    "--cross", is_flag=True, help="With --releases: each device on each machine type, not on one."
)
@click.option(
    "--and-back",
    is_flag=True,
    help="Test the way back too: does the source load each VM again that a host loads?",
)
@click.option(
    "--rehearse",
    "rehearsed",
    is_flag=True,
    help="Load every VM into the real programs instead of predicting; in --jobs processes.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="With --rehearse: spread it over the workers of this Dask scheduler (tcp://host:8786).",
)
@_options.file(
    "--results",
    help="With --rehearse: file that each result is written to.  [default: in the data folder]",
)
@click.option(
    "--resume", is_flag=True, help="With --rehearse: do not repeat pairs that have a result."
)
@click.pass_context
def command(
    ctx: click.Context,
    fleet: Path | None,
    form: str | None,
    output: Path | None,
    unfolded: bool,
    pause: bool,
    jobs: int,
    timeout: float,
    hint_seconds: float,
    project_file: Path | None,
    no_project: bool,
    releases: str | None,
    machines: str | None,
    devices: str | None,
    arch: str,
    cross: bool,
    and_back: bool,
    rehearsed: bool,
    scheduler: str | None,
    results: Path | None,
    resume: bool,
) -> None:
    r"""Predict which of many VMs load on which hosts, and list the causes of refusals.

    FLEET is a TOML file with [[vm]] and [[host]] tables, or JSON that this command wrote before.

    \b
    migratable matrix fleet.toml
    migratable matrix fleet.toml -o page.html
    migratable matrix fleet.toml --and-back
    migratable matrix fleet.toml --rehearse --resume
    migratable matrix --releases 7.2 10.0 11.1 --machines all --devices all -o gate.xml
    """
    if (fleet is None) == (releases is None):
        raise click.UsageError("give a FLEET file, or --releases X.Y …", ctx)
    if releases is None and (machines or devices or cross):
        raise click.UsageError("--machines, --devices and --cross need --releases", ctx)
    if (scheduler or results or resume) and not rehearsed:
        raise click.UsageError("--scheduler, --results and --resume need --rehearse", ctx)
    if rehearsed and fleet is not None and fleet.suffix.lower() == ".json":
        raise click.UsageError("--rehearse needs a fleet's TOML file", ctx)
    if and_back and (fleet is None or fleet.suffix.lower() == ".json"):
        raise click.UsageError("--and-back needs a fleet's TOML file", ctx)
    if scheduler is not None and not scheduler.startswith("tls://"):
        click.echo(
            f"warning: {scheduler} has neither encryption nor keys: whoever reaches it can run "
            "any program on its workers; use tls://",
            err=True,
        )
    rehearsals = _Rehearsals(scheduler, results, resume) if rehearsed else None
    document: Mapping[str, Any]
    form = _options.form_of(form, output, _FORMS)
    with _progress() as progress:
        if releases is not None:
            from migratable.gate.releases import Question, compare

            question = Question(
                releases=_words(releases),
                machines=_words(machines or "all"),
                devices=_words(devices or "none"),
                arch=arch,
                cross=cross,
            )
            matrix = _answered(
                lambda check, told: compare(
                    question, check=check, progress=told, workers=jobs, timeout=timeout
                ),
                rehearsals,
                jobs,
                timeout,
                progress,
            )
            document, status = matrix.to_json(), matrix.exit_status
        else:
            assert fleet is not None
            if no_project:
                path = None
            else:
                from migratable.toml_file import find_project

                path = project_file or find_project(Path.cwd())
            document, status = _fleet(
                fleet, pause, jobs, timeout, progress, rehearsals, path, hint_seconds, and_back
            )
    _write(document, form, output, unfolded=unfolded)
    ctx.exit(status)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


class _Rehearsals(NamedTuple):
    """Where rehearsals are done and kept."""

    scheduler: str | None
    results: Path | None
    resume: bool


def _answered(
    ask: Callable[[Check | None, Progress | None], T],
    rehearsals: _Rehearsals | None,
    jobs: int,
    timeout: float,
    progress: Progress | None,
) -> T:
    """Predictions or, when they are wanted, rehearsals."""
    if rehearsals is None:
        return ask(None, progress)
    from migratable.fleet.rehearsals import default_file, rehearsed

    return rehearsed(
        ask,
        rehearsals.results or default_file(),
        scheduler=rehearsals.scheduler,
        workers=jobs,
        resume=rehearsals.resume,
        timeout=timeout,
        progress=progress,
    )


def _fleet(
    path: Path,
    pause: bool,
    jobs: int,
    timeout: float,
    progress: Progress | None,
    rehearsals: _Rehearsals | None,
    project_file: Path | None,
    hint_seconds: float,
    and_back: bool,
) -> tuple[Mapping[str, Any], int]:
    from migratable.fleet.matrix import run
    from migratable.fleet.model import read_fleet
    from migratable.fleet.resolve import resolve

    if path.suffix.lower() == ".json":
        from migratable.fleet.document import read_document, status_of

        document = read_document(path)
        return document, status_of(document)
    project = None
    if project_file is not None:
        from migratable.check.policy import load

        project = load(project_file)  # its mistakes are told before anything is started
    resolved = resolve(
        read_fleet(path),
        pause=pause,
        progress=progress,
        workers=jobs,
        timeout=timeout,
    )
    matrix = _answered(
        lambda check, told: run(resolved, check=check, progress=told),
        rehearsals,
        jobs,
        timeout,
        progress,
    )
    homes = None
    if and_back:
        from migratable.fleet.way_back import Homes, with_way_back

        homes = Homes(timeout)
        matrix = with_way_back(matrix, resolved, homes, workers=jobs, progress=progress)
    if hint_seconds:
        from migratable.fleet.remedies import with_hints

        matrix = with_hints(matrix, resolved, seconds=hint_seconds, homes=homes, progress=progress)
    if project is not None:
        import datetime

        from migratable.check.policy import apply

        today = datetime.date.today()
        decisions = project
        matrix = matrix.decided(lambda verdict: apply(verdict, decisions, today=today))
    return matrix.to_json(), matrix.exit_status


def _write(document: Mapping[str, Any], form: str, output: Path | None, *, unfolded: bool) -> None:
    if form == "text" and output is None:
        from rich.console import Console

        from migratable.report.matrix_text import show

        show(Console(highlight=False), document, unfolded=unfolded)
        return
    parts = _parts(document, form, unfolded=unfolded)
    if output is None:
        for part in parts:
            sys.stdout.write(part)
        return
    from migratable.fleet.document import write_whole

    write_whole(output, parts)


def _parts(document: Mapping[str, Any], form: str, *, unfolded: bool) -> Iterator[str]:
    """The result in pieces, so that a large one is never in memory twice."""
    if form == "json":
        yield from json.JSONEncoder(separators=(",", ":")).iterencode(document)
        yield "\n"
    elif form == "junit":
        from migratable.report.matrix_junit import write

        for line in write(document):
            yield line + "\n"
    elif form == "html":
        from migratable.report.matrix_html import render

        yield render(document)
    else:
        import io

        from rich.console import Console

        from migratable.report.matrix_text import show

        buffer = io.StringIO()
        show(Console(file=buffer, width=160, highlight=False), document, unfolded=unfolded)
        yield buffer.getvalue()


class _progress:  # noqa: N801 -- used as a function
    """A bar on stderr where that is a terminal; nothing elsewhere."""

    def __enter__(self) -> Callable[[str, int, int], None] | None:
        self._bar: Any = None
        if not sys.stderr.isatty():
            return None
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._bar = Progress(
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._tasks: dict[str, Any] = {}
        self._bar.start()
        return self._told

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _told(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done, total=total)
