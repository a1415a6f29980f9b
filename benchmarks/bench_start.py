"""What every call of the program costs."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks import PROGRAM, Row, seconds


def rows() -> Iterator[Row]:
    """Measure the program's start beside the interpreter's alone."""
    python = seconds([sys.executable, "-c", "pass"])
    yield Row(what="python -c pass", value=python)
    value = seconds([*PROGRAM, "--version"])
    yield Row(what="migratable --version", value=value, beside=python, most=8)
