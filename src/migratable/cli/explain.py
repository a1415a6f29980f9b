"""``migratable explain``: from a log to cause, side and fix."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from migratable.cli import _options

if TYPE_CHECKING:
    from migratable.explain.story import Report


_FORMS = ("text", "json", "html")


@click.command("explain")
@click.argument("log", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@click.option("--format", "form", type=click.Choice(_FORMS))
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@_options.output(text=".txt", json=".json", html=".html")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write an HTML page to this file, besides.",
)
def command(log: str, form: str | None, output: Path | None, page: Path | None) -> None:
    """Explain the failed migrations in LOG (or standard input).

    LOG is what you have: QEMU's stderr, /var/log/libvirt/qemu/VM.log, the journal (text or
    "journalctl -o json"), KubeVirt's JSON lines, Kubernetes events, QMP's answers, a Proxmox task
    log; mixed and noisy, gzipped or not, of any size.

    For each failure: the line that matters, what it means, which side is at fault, public cases,
    what to do now and for ever, and the command that proves it.

    Exit status: 0 all explained, or no failed migration found; 3 something is unknown; 2 the log
    cannot be read.
    """
    from migratable.errors import MigratableError
    from migratable.explain.story import explain

    form = _options.form_of(form, output, _FORMS)
    name = "standard input" if log == "-" else log
    try:
        if log == "-":
            report = explain(_standard_input())
        else:
            with Path(log).open("rb") as stream:
                report = explain(stream)
        if page is not None:
            _write_page(report, name, page)
    except (OSError, EOFError) as error:
        raise MigratableError(
            f"cannot read or write {getattr(error, 'filename', None) or name}: "
            f"{getattr(error, 'strerror', None) or error}"
        ) from error
    _write(report, name, form, output)
    sys.exit(report.exit_status)


def _standard_input() -> BinaryIO:
    if sys.stdin.isatty():
        click.echo("Paste the log, then press Ctrl-D.", err=True)
    return sys.stdin.buffer


def _write_page(report: Report, name: str, page: Path) -> None:
    from migratable.report.explain_html import render

    page.write_text(render(report, name=name), encoding="utf-8")


def _write(report: Report, name: str, form: str, output: Path | None) -> None:
    from rich.console import Console

    from migratable.report.explain_text import print_report

    if form == "json":
        import json

        text = json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n"
    elif form == "html":
        from migratable.report.explain_html import render

        text = render(report, name=name) + "\n"
    elif output is None:
        console = Console(highlight=False, emoji=False, markup=False, soft_wrap=False)
        print_report(report, console, name=name)
        return
    else:
        import io

        buffer = io.StringIO()
        plain = Console(file=buffer, highlight=False, emoji=False, markup=False, width=100)
        print_report(report, plain, name=name)
        text = buffer.getvalue()
    if output is None:
        click.echo(text, nl=False)
    else:
        from migratable.fleet.document import write_whole

        write_whole(output, [text])
