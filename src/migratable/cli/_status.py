"""A line on stderr while something takes long."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class Status:
    """A line on stderr while something takes long, on a terminal only."""

    def __init__(self, words: str, form: str) -> None:
        self._words = words
        self._status: Any = None
        self._shown = sys.stderr.isatty() and form == "text"

    def __enter__(self) -> Callable[[str], None] | None:
        if not self._shown:
            return None
        from rich.console import Console
        from rich.text import Text

        from migratable.printable import printable

        self._status = Console(stderr=True).status(f"{self._words} …")
        self._status.__enter__()
        return lambda what: self._status.update(Text(printable(f"{self._words}: {what}")))

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.__exit__(None, None, None)
