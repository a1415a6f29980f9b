"""``migratable rule``: the documentation of a rule, from the rule itself."""

from __future__ import annotations

import re
import sys

import click

from migratable.cli import _complete
from migratable.cli._pages import pages
from migratable.printable import quoted


@click.command("rule")
@click.argument("rule_id", metavar="[ID]", required=False, shell_complete=_complete.rules)
def command(rule_id: str | None) -> None:
    """Show a rule's page: its check, QEMU's reason, the fix; without ID list all rules."""
    if rule_id is None:
        _list()
        return
    found = pages().get(rule_id)
    if found is None:
        import difflib

        close = difflib.get_close_matches(rule_id, pages(), 1)
        hint = f"; did you mean {close[0]}?" if close else "; `migratable rule` lists them"
        raise click.UsageError(f"no rule has the id {quoted(rule_id)}{hint}")
    text = re.sub(r"\{doc\}`/?([^`]+)`", r"`\1`", found.page)
    from rich.console import Console
    from rich.markdown import Markdown

    head = f"# {found.id}\n\n{text}"
    if sys.stdout.isatty():
        Console(highlight=False).print(Markdown(head))
    else:
        click.echo(head.rstrip())


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("rule", style="bold", no_wrap=True)
    table.add_column("severity", no_wrap=True)
    table.add_column("meaning")
    for name, rule in sorted(pages().items()):
        text = rule.page.strip()
        table.add_row(name, rule.severity, text.splitlines()[0] if text else "")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    console.print(table)
