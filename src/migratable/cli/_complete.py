"""What a shell completes beside commands and options: names of profiles, rules, releases."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def _from(names: Callable[[], Iterable[str]], *, files: bool = False) -> Complete:
    def complete(ctx: click.Context, param: click.Parameter, text: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from migratable.errors import MigratableError

        try:
            found = [CompletionItem(name) for name in names() if name.startswith(text)]
        except MigratableError:  # a damaged store is no reason to disturb a prompt
            found = []
        if files and (not found or "/" in text):
            return [CompletionItem(text, type="file")]
        return found

    return complete


def _profiles() -> Iterable[str]:
    from migratable.profile import bundled
    from migratable.profile.store import Store

    yield from (entry.name for entry in Store().list())
    yield from bundled.names()


def _stored() -> Iterable[str]:
    from migratable.profile.store import Store

    yield from (entry.name for entry in Store().list())


def _rules() -> Iterable[str]:
    from migratable.cli._pages import pages

    yield from sorted(pages())


def _releases() -> Iterable[str]:
    from migratable.lab import installed

    yield from sorted({one.release for one in installed()})


def _hosts() -> Iterable[str]:
    """Hosts of the user's ssh configuration, without patterns."""
    import re
    from pathlib import Path

    try:
        text = (Path.home() / ".ssh" / "config").read_text(errors="replace")
    except OSError:
        return
    for line in re.findall(r"(?im)^\s*host\s+(.*)$", text):
        yield from (name for name in line.split() if not re.search(r"[*?!]", name))


profiles = _from(_profiles, files=True)
stored = _from(_stored)
rules = _from(_rules)
releases = _from(_releases)
hosts = _from(_hosts)
