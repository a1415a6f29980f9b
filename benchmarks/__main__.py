"""Run all benchmarks, or those that are named: ``python -m benchmarks start``."""

from __future__ import annotations

import importlib
import os
import pkgutil
import platform
import subprocess
import sys

import benchmarks
from migratable import __version__

_ONE = "--one"


def main() -> None:
    """Print a table; end with 1 if something is over its limit."""
    if sys.argv[1:2] == [_ONE]:
        sys.exit(table(sys.argv[2]))
    modules = [found.name for found in pkgutil.iter_modules(benchmarks.__path__)]
    names = [name.removeprefix("bench_") for name in modules if name.startswith("bench_")]
    wanted = sys.argv[1:] or names
    if unknown := set(wanted) - set(names):
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    python = platform.python_version()
    print(f"migratable {__version__}, Python {python}, {os.cpu_count()} cores, best of several\n")
    print(f"{'':<52}{'value':>9}    {'beside':>9}{'ratio':>7}{'limit':>7}", flush=True)
    # Each in a process of its own: what one leaves in memory would be counted with the next.
    one = [sys.executable, "-m", "benchmarks", _ONE]
    statuses = [subprocess.run([*one, name], check=False).returncode for name in wanted]
    sys.exit(max(statuses))


def table(name: str) -> bool:
    """Print the rows of one benchmark; whether something is over its limit."""
    over = False
    for row in importlib.import_module(f"benchmarks.bench_{name}").rows():
        beside = "" if row.beside is None else f"{row.beside:.3f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
        most = "" if row.most is None else f"{row.most:g}x"
        mark = "OVER" if row.is_over else ""
        print(
            f"{row.what:<52}{row.value:9.3f} {row.unit:<3}{beside:>9}{ratio:>7}{most:>7} {mark:<5}"
            f"{row.note}".rstrip(),
            flush=True,
        )
        over |= row.is_over
    return over


if __name__ == "__main__":
    main()
