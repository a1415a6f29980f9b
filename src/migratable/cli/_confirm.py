"""Asking before a running VM is paused."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click


def asker(*, yes: bool) -> Callable[[str], bool] | None:
    """Give what ``open_source(…, confirm=)`` wants: ``--yes``, a question on a terminal, or none.

    The question goes to stderr, so that it never mixes with a result.
    """
    if yes:
        return lambda words: True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    return lambda words: click.confirm(words, default=False, err=True)
