"""How fast it is, each beside what it is compared with, in one run: ``make bench``.

A module ``bench_NAME.py`` with a function ``rows()`` is found by itself. A row that is over its
limit makes the run end with status 1.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROGRAM = (str(Path(sys.executable).with_name("migratable")),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement.

    :ivar value: in ``unit``, the best of several: what is above it is the machine's other work.
    :ivar limit: in ``unit``; None for what others are compared with.
    """

    what: str
    value: float
    unit: str = "s"
    limit: float | None = None
    note: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it is over its limit."""
        return self.limit is not None and self.value > self.limit


def seconds(command: Sequence[str], *, times: int = 15, statuses: Sequence[int] = (0,)) -> float:
    """Best time of a command, after one run that fills the caches."""
    return best(lambda: run(command, statuses)[0], times)


def best(measure: Callable[[], float], times: int = 15) -> float:
    """Least of several measurements, the first not counted."""
    measure()
    return min(measure() for _ in range(times))


def peak_memory(command: Sequence[str], *, statuses: Sequence[int] = (0,)) -> float:
    """Largest resident memory of a command in MB, with the file pages that it maps."""
    return run(command, statuses)[1]


@cache
def _environment() -> dict[str, str]:
    """The bytecode is kept, as it is of an installed program; not in the checkout."""
    kept = tempfile.TemporaryDirectory(prefix="migratable-bytecode-")
    atexit.register(kept.cleanup)
    without = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**without, "PYTHONPYCACHEPREFIX": kept.name}


def run(command: Sequence[str], statuses: Sequence[int]) -> tuple[float, float]:
    """Run a command, output thrown away: seconds and peak resident MB.

    :raise subprocess.CalledProcessError: when it ends with another status.
    """
    start = time.perf_counter()
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=null, stdout=null, stderr=null, env=_environment())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in statuses:
        raise subprocess.CalledProcessError(process.returncode, list(command))
    return time.perf_counter() - start, usage.ru_maxrss / 1024
