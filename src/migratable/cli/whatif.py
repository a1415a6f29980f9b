"""``migratable whatif``: a planned change against every release pair and policy."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from migratable.cli import _options
from migratable.printable import quoted

_FORMS = ("text", "json", "html")
#: Columns of a table that nobody's terminal limits.
_WIDE = 110


def _piped_width() -> int:
    text = os.environ.get("COLUMNS", "")
    return max(40, int(text)) if text.isdigit() else _WIDE


@click.command()
@click.argument("plan", required=False)
@click.option("--format", "form", type=click.Choice(_FORMS))
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@_options.output(text=".txt", json=".json", html=".html")
@click.option(
    "--policy",
    metavar="NAME",
    help="For CI: end with 1 if this policy breaks a migration or loads a guest that loses "
    "something.",
)
@click.option("--list", "listed", is_flag=True, help="List the bundled plans.")
@click.pass_context
def command(
    ctx: click.Context,
    plan: str | None,
    form: str | None,
    output: Path | None,
    policy: str | None,
    listed: bool,
) -> None:
    """Try a planned change of pseries capabilities on all releases, machine types and options.

    PLAN is a TOML file or a bundled plan (--list). Example: migratable whatif intc-capabilities

    Exit status: 0, whatever the policies break; with --policy, 1 if that policy breaks something.
    """
    from migratable.errors import PlanError
    from migratable.pseries.plan import bundled, read_plan

    form = _options.form_of(form, output, _FORMS)

    if listed:
        for name in bundled():
            click.echo(name)
        return
    if plan is None:
        raise click.UsageError(f"give a plan: a TOML file or one of {', '.join(bundled())}", ctx)
    from migratable.pseries.whatif import report, to_json

    read = read_plan(plan)
    names = [policy.name for policy in read.policies]
    if policy is not None and policy not in names:
        raise PlanError(f"{read.name}: no policy {quoted(policy)}; it has {', '.join(names)}")
    found = [report(read, run) for run in read.runs]
    status = 0 if policy is None else int(any(one.tallies[policy].faulty for one in found))
    if form == "json":
        text = json.dumps(to_json(read, found), indent=1) + "\n"
    elif form == "html":
        from migratable.report.whatif_html import render

        text = render(read, found)
    else:
        text = ""
    if output is None:
        if text:
            click.echo(text, nl=False)
            sys.exit(status)
        from rich.console import Console

        from migratable.report.whatif_text import show

        show(Console(width=None if sys.stdout.isatty() else _piped_width()), read, found)
        sys.exit(status)
    if not text:
        import io

        from rich.console import Console

        from migratable.report.whatif_text import show

        buffer = io.StringIO()
        show(Console(file=buffer, width=160), read, found)
        text = buffer.getvalue()
    try:
        output.write_text(text, "utf-8")
    except OSError as error:
        raise PlanError(f"cannot write {output}: {error.strerror}") from None
    sys.exit(status)
