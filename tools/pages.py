"""Make the reference pages that come from the program: commands, edits, rules, JSON schemas.

A command's page is what ``--help`` says; a rule's page is the docstring of its file, which is
Markdown already.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import click

from migratable.check.rule import Rule
from migratable.check.rules import RULES
from migratable.cli import cli
from migratable.cli._pages import BETWEEN_HOSTS, joined
from migratable.convert.proposals import PROPOSALS
from migratable.convert.proposals.proposal import Proposal
from migratable.hosts.checks import CHECKS, page
from migratable.serve.schemas import schemas
from migratable.verdict import Severity


def write(reference: Path) -> None:
    """Write a folder of pages for each kind under *reference*, with an index."""
    commands = dict(_commands())
    _folder(
        reference / "commands",
        commands,
        "Commands",
        "The `--help` of each command.",
    )
    _folder(
        reference / "edits",
        {one.kind: _edit(one) for one in PROPOSALS},
        "Edits of a stream",
        "The kinds of edits that `migratable convert` makes. `migratable rule KIND` shows the "
        "same page in the terminal.",
    )
    _folder(
        reference / "rules",
        {
            **{one.id: _page(one.id, page(one), one.severity) for one in CHECKS},
            **{rule.id: _page(rule.id, _with_check(rule), rule.severity) for rule in RULES},
        },
        "Rules",
        "The rules of `migratable check`, and the comparisons of two hosts by "
        "`migratable preflight` (`host-…`). `migratable rule ID` shows the same page in the "
        "terminal.",
    )
    _folder(
        reference / "schemas",
        {name.lower(): _schema(name, schema) for name, schema in schemas().items()},
        "JSON Schemas",
        "For programs; [JSON](../json.md) explains the members. "
        "`GET /openapi.json` of [the service](../../how-to/serve.md) returns all of them.",
    )


def _schema(name: str, schema: object) -> str:
    return f"# {name}\n\n```json\n{json.dumps(schema, indent=2)}\n```\n"


def _folder(folder: Path, texts: dict[str, str], title: str, words: str) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
    toctree = "```{toctree}\n:maxdepth: 1\n:glob:\n\n*\n```\n" if texts else "None yet.\n"
    (folder / "index.md").write_text(f"# {title}\n\n{words}\n\n{toctree}", encoding="utf-8")


def _commands() -> Iterator[tuple[str, str]]:
    context = click.Context(cli, info_name="migratable")
    for name in cli.list_commands(context):
        found = cli.get_command(context, name)
        assert found is not None
        yield name, f"# migratable {name}\n\n" + "\n".join(_help(found, context, name))


def _help(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    """Help of a command, then of its subcommands, as text blocks under headings."""
    context = click.Context(command, info_name=name, parent=parent, max_content_width=88)
    context.terminal_width = 88
    yield f"```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            found = command.get_command(context, sub)
            assert found is not None
            yield f"## {context.command_path} {sub}\n"
            yield from _help(found, context, sub)


def _edit(proposal: Proposal) -> str:
    summary, _, rest = proposal.page.strip().partition("\n")
    rules = ", ".join(f"[{one}](../rules/{one}.md)" for one in proposal.rules)
    return f"# {proposal.kind}\n\n{summary}\n\nAnswers {rules}\n\n{rest.strip()}\n"


def _with_check(rule: Rule) -> str:
    """The rule's page, and the page of a host check that has the same id."""
    for one in CHECKS:
        if one.id == rule.id:
            return joined(rule.page, BETWEEN_HOSTS, page(one))
    return rule.page


def _page(name: str, text: str, severity: Severity) -> str:
    summary, _, rest = text.strip().partition("\n")
    return f"# {name}\n\n{summary}\n\nSeverity: **{severity}**\n\n{rest.strip()}\n"
