"""A prediction from a stored profile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from benchmarks import PROGRAM, Row, best, peak_memory, seconds
from migratable.check import check
from migratable.profile import bundled
from migratable.stream import read
from migratable.verdict import Outcome

ANSWERS = (0, 1, 3)


def rows() -> Iterator[Row]:
    """Check the bundled example against each bundled profile: time and memory."""
    (example,) = bundled.FOLDER.glob("*.mig*")
    for name in bundled.names():
        plain = [*PROGRAM, "check", str(example), "--to", name, "--format", "json", "--no-hints"]
        value = seconds(plain, statuses=ANSWERS)
        yield Row(what=f"check {example.name} --to {name}", value=value, limit=0.25)
        memory = peak_memory(plain, statuses=ANSWERS)
        yield Row(what="  resident memory", value=memory, unit="MB", limit=120)
        if check(read(example), bundled.load(name)).outcome is Outcome.REFUSED:
            value = seconds(plain[:-1], times=3, statuses=ANSWERS)
            yield Row(what="  with remedies tried", value=value, note="a QEMU is started for some")
    stream, profile = read(example), bundled.load("pseries-7.2")
    value = best(lambda: _timed(lambda: check(stream, profile)))
    yield Row(what="  the replay alone", value=value, note="in a program that runs already")


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
