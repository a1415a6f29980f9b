"""A prediction from a stored profile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import PROGRAM, Row, best, peak_memory, seconds
from migratable.check import check
from migratable.profile import bundled
from migratable.stream import read
from migratable.verdict import Outcome

ANSWERS = (0, 1, 3)


def rows() -> Iterator[Row]:
    """Check the bundled examples against the bundled profiles of their board: time and memory."""
    begin = seconds([*PROGRAM, "--version"])
    python = peak_memory([sys.executable, "-c", "pass"])
    for example in sorted(bundled.FOLDER.glob("guest-*.mig*")):
        board = example.name.removeprefix("guest-").partition(".")[0]
        for name in bundled.names():
            if name.partition("-")[0] == board:
                yield from _pair(example, name, begin, python)
    stream, profile = read(bundled.FOLDER / "guest-q35.mig.gz"), bundled.load("q35-10.0")
    value = best(lambda: _timed(lambda: check(stream, profile)))
    yield Row(what="  the replay alone", value=value, note="in a program that runs already")


def _pair(example: Path, name: str, begin: float, python: float) -> Iterator[Row]:
    plain = [*PROGRAM, "check", str(example), "--to", name, "--format", "json", "--no-hints"]
    value = seconds(plain, statuses=ANSWERS)
    what = f"check {example.name} --to {name}"
    yield Row(what=what, value=value, beside=begin, most=6, note="beside --version")
    memory = peak_memory(plain, statuses=ANSWERS)
    note = "beside python -c pass"
    yield Row(what="  resident memory", value=memory, unit="MB", beside=python, most=8, note=note)
    if check(read(example), bundled.load(name)).outcome is Outcome.REFUSED:
        value = seconds(plain[:-1], times=3, statuses=ANSWERS)
        yield Row(what="  with remedies tried", value=value, note="a QEMU is started for some")


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
