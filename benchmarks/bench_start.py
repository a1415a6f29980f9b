"""What every call of the program costs."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchmarks import PROGRAM, Row, seconds


def rows() -> Iterator[Row]:
    """Measure the program's start beside the interpreter's alone."""
    yield Row(what="python -c pass", value=seconds([sys.executable, "-c", "pass"]))
    yield Row(what="migratable --version", value=seconds([*PROGRAM, "--version"]), limit=0.12)
