"""How fast it is, each beside what it is compared with, in one run: ``make bench``.

A module ``bench_NAME.py`` with a function ``rows()`` is found by itself. Limits are ratios to a
figure of the same run, never seconds: a row that is over its limit makes the run end with status 1.
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
    :ivar beside: figure of the same run that it is compared with, in ``unit``.
    :ivar most: limit of their ratio; None where the ratio is only shown.
    """

    what: str
    value: float
    unit: str = "s"
    beside: float | None = None
    most: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times the figure beside it."""
        return None if self.beside is None else self.value / self.beside

    @property
    def is_over(self) -> bool:
        """Whether the ratio is over its limit."""
        return self.ratio is not None and self.most is not None and self.ratio > self.most


def seconds(command: Sequence[str], *, times: int = 15, statuses: Sequence[int] = (0,)) -> float:
    """Best time of a command, after one run that fills the caches."""
    return best(lambda: run(command, statuses), times)


def best(measure: Callable[[], float], times: int = 15) -> float:
    """Least of several measurements, the first not counted."""
    measure()
    return min(measure() for _ in range(times))


_PEAK = """
import os, sys
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss, file=sys.stderr)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak_memory(command: Sequence[str], *, statuses: Sequence[int] = (0,)) -> float:
    """Largest resident memory of a command in MB, with the file pages that it maps.

    It is started by a small program: Linux counts what the parent of a fork had.

    :raise subprocess.CalledProcessError: when it ends with another status.
    """
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _PEAK, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=_environment(),
        check=False,
    )
    if done.returncode not in statuses:
        raise subprocess.CalledProcessError(done.returncode, list(command))
    return int(done.stderr.split()[-1]) / 1024


@cache
def _environment() -> dict[str, str]:
    """The bytecode is kept, as it is of an installed program; not in the checkout."""
    kept = tempfile.TemporaryDirectory(prefix="migratable-bytecode-")
    atexit.register(kept.cleanup)
    without = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**without, "PYTHONPYCACHEPREFIX": kept.name}


def run(command: Sequence[str], statuses: Sequence[int]) -> float:
    """Run a command, output thrown away: its seconds.

    :raise subprocess.CalledProcessError: when it ends with another status.
    """
    start = time.perf_counter()
    null = subprocess.DEVNULL
    done = subprocess.run(
        command, stdin=null, stdout=null, stderr=null, env=_environment(), check=False
    )
    if done.returncode not in statuses:
        raise subprocess.CalledProcessError(done.returncode, list(command))
    return time.perf_counter() - start
