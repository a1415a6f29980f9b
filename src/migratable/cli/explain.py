"""``migratable explain``: from a log to cause, side and fix."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from migratable.cli import _options

if TYPE_CHECKING:
    from migratable.errors import MigratableError
    from migratable.explain.explanation import Report
    from migratable.explain.together import Log
    from migratable.explain.verify import Reproducible

_LONGEST = 4 << 20
_GUEST = re.compile(r"(?:^|,)guest=([^,]+)|^([^,=]+)(?:,|$)")
_DOMAIN = re.compile(r"(?![.-])[^/\x00-\x1f]+")
"""What libvirt may call a guest; a suggested command names a file by it."""

_FORMS = ("text", "json", "html")


@click.command("explain")
@click.argument(
    "logs", metavar="[LOG]...", type=click.Path(dir_okay=False, allow_dash=True), nargs=-1
)
@click.option("--format", "form", type=click.Choice(_FORMS))
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@_options.output(text=".txt", json=".json", html=".html")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write an HTML page to this file too.",
)
def command(
    logs: tuple[str, ...], form: str | None, output: Path | None, page: Path | None
) -> None:
    """Explain the failed migrations in each LOG (or standard input).

    LOG is any log: QEMU's stderr, /var/log/libvirt/qemu/VM.log, the journal (text or "journalctl
    -o json"), KubeVirt's JSON lines, Kubernetes events, QMP answers, a Proxmox task log. It may
    contain other lines, be gzipped, and have any size. explain joins several logs, such as the
    source's and the destination's, by time.

    For each failure it shows the line that matters, its meaning, the side at fault, public cases,
    Fix now, Prevent, and Verify, a command that shows the cause again.

    Exit status: 0 all explained, or no failed migration found; 3 something is unknown; 2 a log
    cannot be read.
    """
    from migratable.explain.story import explain_together

    form = _options.form_of(form, output, _FORMS)
    names = list(dict.fromkeys(logs)) or ["-"]
    read: list[Log] = []
    again: dict[str, Reproducible] = {}
    for name in names:
        log, reproducible = _read(name)
        read.append(log)
        if reproducible is not None:
            again[log.name if len(names) > 1 else ""] = reproducible
    report = explain_together(read, again)
    name = ", ".join(log.name for log in read)
    if page is not None:
        try:
            _write_page(report, name, page)
        except OSError as error:
            raise _failed(error, str(page)) from error
    _write(report, name, form, output)
    sys.exit(report.exit_status)


def _read(name: str) -> tuple[Log, Reproducible | None]:
    """A log's failures, and its command line where it is a file that holds one.

    :raise MigratableError: it cannot be read or unpacked.
    """
    from migratable.explain.failures import scan
    from migratable.explain.together import Log
    from migratable.regular_file import open_regular

    try:
        if name == "-":
            return Log(name="standard input", scan=scan(_standard_input())), None
        path = Path(name)
        with open_regular(path, inherited=True) as stream:
            found = scan(stream)
        return Log(name=name, scan=found), _reproducible(path, name)
    except (OSError, EOFError) as error:
        raise _failed(error, name) from error


def _reproducible(path: Path, name: str) -> Reproducible | None:
    """What a log can be asked for again; None when it holds no command line.

    :raise OSError: the log cannot be read.
    """
    from migratable.commandline.pasted_text import words
    from migratable.errors import CommandLineError
    from migratable.explain.verify import Reproducible
    from migratable.regular_file import is_regular

    if not is_regular(path) or path.stat().st_size > _LONGEST:
        return None
    text = path.read_bytes().decode("utf-8", "replace")
    try:
        found = words(text)
    except CommandLineError:
        return None
    options = {
        word.lstrip("-"): following for word, following in pairwise(found) if word.startswith("-")
    }
    if not options.keys() & {"machine", "M", "device", "m", "cpu"}:
        return None
    domain = ""
    if ": starting up libvirt version" in text:
        guest = _GUEST.search(options.get("name", ""))
        domain = (guest[1] or guest[2] or "") if guest else ""
        if not _DOMAIN.fullmatch(domain):
            domain = ""
    return Reproducible(path=name, domain=domain)


def _failed(error: OSError | EOFError, name: str) -> MigratableError:
    from migratable.errors import MigratableError

    return MigratableError(
        f"cannot read or write {getattr(error, 'filename', None) or name}: "
        f"{getattr(error, 'strerror', None) or error}"
    )


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
