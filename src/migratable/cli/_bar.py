"""A bar for long work."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bar(title: str) -> Iterator[Callable[[float, str], None]]:
    """Show a bar on a terminal; elsewhere say nothing."""
    if not sys.stderr.isatty():
        yield lambda share, words: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (TextColumn("{task.fields[title]}"), BarColumn(), TaskProgressColumn())
    words_column = TextColumn("[dim]{task.description}")
    with Progress(*columns, words_column, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=1.0, title=title)
        yield lambda share, words: shown.update(task, completed=share, description=words)
