"""Mutants of the engine: change one thing in a module; do the tests without QEMU notice?

    python tools/mutate.py                     every mutant of the engine (`make mutants`)
    python tools/mutate.py savevm rules/page   those of some modules of check/, or folders of it
    python tools/mutate.py --each 20 --seed 1  at most 20 of each module
    python tools/mutate.py --only vmstate:230  those of one line

A mutant is judged by the tests of the quick suite that run the changed statement (see
``tools/mutants/suite.py``). Survivors are printed, and those that are not in
docs/explanation/mutants.md with the reason why nothing can notice make the exit status 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import pickle
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.mutants import suite  # noqa: E402 -- found beside this file
from tools.mutants.operators import CHECK, Mutant, mutants  # noqa: E402

KNOWN = ROOT / "docs" / "explanation" / "mutants.md"
LEAST = 95.0


def engine() -> list[str]:
    """The engine's modules: all of check/ and its rules; devices and the cache are named."""
    names = (*_modules(""), *_modules("rules"), "devices/field_tests", "devices/pc_memory")
    return [name for name in names if name != "example"]


def _modules(name: str) -> list[str]:
    path = CHECK / name
    if path.is_dir():
        found = sorted(path.glob("*.py"))
        return [str(one.relative_to(CHECK).with_suffix("")) for one in found]
    if not path.with_suffix(".py").is_file():
        raise SystemExit(f"mutate: there is no {name} in {CHECK.relative_to(ROOT)}")
    return [name]


def known() -> set[tuple[str, str, str]]:
    """Survivors that are explained: module, line of code, change."""
    rows = [
        [cell.strip().strip("`") for cell in line.strip("| \n").split("|")]
        for line in KNOWN.read_text(encoding="utf-8").replace("\\|", "\0").splitlines()
        if line.startswith("| `")
    ]
    return {(row[0], row[1].replace("\0", "|"), row[2]) for row in rows if len(row) >= 4}


def _key(mutant: Mutant) -> tuple[str, str, str]:
    return f"{mutant.module}.py", mutant.code, mutant.what


class Judge:
    """Judges mutants in several processes, which take them from one list."""

    def __init__(self, chosen: Sequence[Mutant], covered: suite.Coverage, jobs: int) -> None:
        # Those inside of functions first: for the others the tests are imported anew.
        self._chosen = sorted(chosen, key=lambda one: not covered.inside(one))
        self._covered = covered
        self._jobs = jobs
        self._next = multiprocessing.get_context("fork").Value("i", 0)
        self._screen = os.dup(1)

    def run(self) -> list[tuple[Mutant, int]]:
        """How each ended."""
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            results = [Path(folder) / str(number) for number in range(self._jobs)]
            children = []
            for result in results:
                child = os.fork()
                if child == 0:
                    self._work(result)
                children.append(child)
            ended = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            if any(ended):
                raise SystemExit("mutate: a process that judges ended with an error")
            return [pair for result in results for pair in pickle.loads(result.read_bytes())]

    def _work(self, result: Path) -> None:
        try:
            found: list[tuple[Mutant, int]] = []
            mutant = self._take()
            if mutant is not None and self._covered.inside(mutant):
                mutant = self._inside(found, mutant)
            while mutant is not None:
                tests = self._covered.tests(mutant)
                limit = self._covered.limit(tests)
                self._note(found, mutant, suite.judge_outside(mutant, tests, limit))
                mutant = self._take()
            result.write_bytes(pickle.dumps(found))
            os._exit(0)
        finally:
            os._exit(1)

    def _inside(self, found: list[tuple[Mutant, int]], first: Mutant) -> Mutant | None:
        """Judge those inside functions; the first that is not, if there is one."""
        mutant: Mutant | None = first

        def then(session: suite.Session) -> None:
            nonlocal mutant
            functions = suite.Functions()
            while mutant is not None and self._covered.inside(mutant):
                tests = self._covered.tests(mutant)
                limit = self._covered.limit(tests)
                status = suite.judge_inside(session, functions, mutant, tests, limit)
                self._note(found, mutant, status)
                mutant = self._take()

        files = {name.partition("::")[0] for name in self._covered.seconds}
        suite.collect(then, sorted(files))
        return mutant

    def _take(self) -> Mutant | None:
        with self._next.get_lock():
            number = self._next.value
            self._next.value += 1
        if number and number % 100 == 0:
            self._say(f"{number} of {len(self._chosen)}")
        return self._chosen[number] if number < len(self._chosen) else None

    def _note(self, found: list[tuple[Mutant, int]], mutant: Mutant, status: int) -> None:
        found.append((mutant, status))
        if status == suite.SURVIVED:
            self._say(f"SURVIVED {mutant} [{len(self._covered.tests(mutant))} tests]")

    def _say(self, text: str) -> None:
        os.write(self._screen, f"{text}\n".encode())


def covered(kept: Path | None) -> suite.Coverage:
    """Which test runs what: from the file *kept*, when it is there, or measured anew."""
    if kept is not None and kept.exists():
        found = pickle.loads(kept.read_bytes())
        assert isinstance(found, suite.Coverage)
        return found
    begun = time.monotonic()
    print("mutate: seeing which test runs what", flush=True)
    found = suite.coverage()
    useful = set().union(*found.lines.values())
    found.seconds = {name: took for name, took in found.seconds.items() if name in useful}
    print(f"mutate: {len(useful)} tests, {time.monotonic() - begun:.0f} s", flush=True)
    if kept is not None:
        kept.write_bytes(pickle.dumps(found))
    return found


def report(ended: Sequence[tuple[Mutant, int]]) -> bool:
    """Print the share of each module and of all; whether it is as it must be."""
    modules: dict[str, list[int]] = {}
    for mutant, status in ended:
        modules.setdefault(mutant.module, []).append(status)
    for module, statuses in sorted(modules.items()):
        alive = statuses.count(suite.SURVIVED)
        print(f"{module + '.py':36}{len(statuses):6} mutants{alive:5} survive")
    alive_ones = [mutant for mutant, status in ended if status == suite.SURVIVED]
    slow = sum(status == suite.SLOW for _, status in ended)
    share = 100 * (1 - len(alive_ones) / max(len(ended), 1))
    explained = known()
    new = [mutant for mutant in alive_ones if _key(mutant) not in explained]
    print(
        f"{len(ended)} mutants, {len(alive_ones)} survive ({len(new)} of them are not in "
        f"{KNOWN.relative_to(ROOT)}), {slow} did not end: {share:.1f} % killed"
    )
    for mutant in new:
        print(f"not explained: {mutant}")
    return share >= LEAST and not new


def choose(options: argparse.Namespace) -> list[Mutant]:
    """The mutants that are asked for."""
    names = [name for module in options.modules for name in _modules(module)] or engine()
    if options.only:
        module, _, line = options.only.partition(":")
        found = [one for name in _modules(module) for one in mutants(name)]
        return [one for one in found if not line or one.line == int(line)]
    chosen = []
    for name in names:
        found = mutants(name)
        if options.each is not None:
            count = min(options.each, len(found))
            found = random.Random(f"{options.seed} {name}").sample(found, count)
        chosen += found
    return chosen


def main() -> None:
    """Judge what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--each", type=int, metavar="N", help="at most N of a module")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="MODULE:LINE")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--budget", type=float, metavar="SECONDS", help="only the quickest tests for each mutant"
    )
    parser.add_argument(
        "--coverage", type=Path, metavar="FILE", help="which test runs what, from an earlier run"
    )
    options = parser.parse_args()
    os.chdir(ROOT)
    chosen = choose(options)
    found = covered(options.coverage)
    found.budget = options.budget
    sys.exit(not report(Judge(chosen, found, options.jobs).run()))


if __name__ == "__main__":
    main()
