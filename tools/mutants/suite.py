"""The tests that judge mutants: which lines each runs, and whether it notices a change.

One process collects the tests once. Each mutant gets a fork of it in which the changed functions'
code is swapped in place, so nothing is imported again; then the tests that run the changed
statement are run there, the quickest first, until one fails. A change outside of functions is
judged by a fork of a process that has not imported the engine yet.
"""

from __future__ import annotations

import functools
import gc
import importlib.abc
import importlib.util
import itertools
import os
import pickle
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

from tools.mutants.operators import CHECK, NOTE, Mutant, changed, noting

#: The quick suite's tests that call the engine within the process.
FOLDERS = (
    *("tests/unit/check", "tests/property/test_cache.py", "tests/property/test_check.py"),
    *("tests/unit/fleet", "tests/unit/hints"),
)
#: What an import makes (rules and their examples) is compared there, though it runs no line of it.
_EXAMPLES = "tests/unit/check/test_rules.py::"
KILLED, SURVIVED, SLOW, _ANEW = 1, 0, 2, 3
_MEMORY = 3 << 30
_TRACED = str(CHECK) + os.sep
# A mutant may make the tests that see it this much slower, and this many seconds more.
_FACTOR, _MORE, _ASLEEP = 3.0, 5.0, 20.0

hypothesis.settings.register_profile("mutants", deadline=None, database=None, derandomize=True)


@dataclass(slots=True, kw_only=True)
class Coverage:
    """What each test runs.

    :ivar lines: the tests by file below ``check/`` and line.
    :ivar imported: lines of functions that run when the tests are collected.
    :ivar seconds: of the processor's time that each test takes.
    :ivar budget: how many of them a mutant may cost, with the quickest tests, when not all.
    """

    lines: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    imported: set[tuple[str, int]] = field(default_factory=set)
    seconds: dict[str, float] = field(default_factory=dict)
    budget: float | None = None

    def inside(self, mutant: Mutant) -> bool:
        """Whether only tests run the changed statement, and no import."""
        return mutant.inside and (f"{mutant.module}.py", mutant.statement) not in self.imported

    def tests(self, mutant: Mutant) -> list[str]:
        """The tests that run the changed statement, the quickest first.

        For what an import runs: those of its module, and those of the rules' examples.
        """
        file = f"{mutant.module}.py"
        if self.inside(mutant):
            found = [self.lines.get((file, mutant.statement), set())]
        else:
            found = [tests for (name, _), tests in self.lines.items() if name == file]
            found.append({name for name in self.seconds if name.startswith(_EXAMPLES)})
        ordered = sorted(set().union(*found), key=lambda name: (self.seconds[name], name))
        if self.budget is None:
            return ordered
        sums = itertools.accumulate(self.seconds[name] for name in ordered)
        return [name for name, total in zip(ordered, sums, strict=True) if total <= self.budget]

    def limit(self, tests: Iterable[str]) -> float:
        """After how many seconds of the processor's time a mutant does not end."""
        return _MORE + _FACTOR * sum(self.seconds[name] for name in tests)


def _arguments(tests: Sequence[str]) -> list[str]:
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:faulthandler")
    warnings = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
    return [
        *quiet,
        *warnings,
        "--hypothesis-profile=mutants",
        "-m",
        "not slow and not real",
        *tests,
    ]


class Session:
    """The tests as pytest collected them; *then* takes the place of running them."""

    def __init__(self, then: Callable[[Session], None]) -> None:
        self._then = then
        self.items: dict[str, pytest.Item] = {}
        self._temporary: Any = None

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Pytest's hook: run nothing but *then*."""
        self.items = {item.nodeid: item for item in session.items}
        self._temporary = session.config._tmp_path_factory  # type: ignore[attr-defined]
        self._then(self)
        return True

    def run(self, tests: Sequence[str]) -> Iterator[tuple[str, bool, float]]:
        """Run tests in this process: name, whether it passed, seconds."""
        items = [self.items[name] for name in tests]
        for number, item in enumerate(items):
            begun = time.process_time()
            following = items[number + 1] if number + 1 < len(items) else None
            reports = runtestprotocol(item, nextitem=following, log=False)
            passed = not any(report.failed for report in reports)
            yield item.nodeid, passed, time.process_time() - begun

    def folder(self, path: Path) -> None:
        """Where this process's tests have their temporary folders."""
        self._temporary._basetemp = path


def collect(then: Callable[[Session], None], tests: Sequence[str] = FOLDERS) -> None:
    """Collect the tests and hand them to *then*, within this process."""
    status = pytest.main(_arguments(tests), plugins=[Session(then)])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise SystemExit(f"mutants: the tests cannot be collected (pytest: {status})")


def forked(work: Callable[[Path], int], limit: float | None = None) -> int:
    """Run *work* in a fork with a folder of its own, silently; its status, SLOW past *limit*."""
    with tempfile.TemporaryDirectory(prefix="mutant-", ignore_cleanup_errors=True) as folder:
        child = os.fork()
        if child == 0:
            status = KILLED
            try:
                os.setpgid(0, 0)
                with open(os.devnull, "r+b") as nothing:  # noqa: PTH123 -- a device
                    for stream in (0, 1, 2):
                        os.dup2(nothing.fileno(), stream)
                resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
                if limit is not None:
                    seconds = int(limit) + 1
                    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
                gc.disable()
                status = work(Path(folder))
            except BaseException:  # noqa: BLE001 -- whatever it dies of
                if log := os.environ.get("MUTANTS_LOG"):
                    Path(log).write_text(traceback.format_exc(), encoding="utf-8")
            finally:
                os._exit(status)
        return _end(child, limit)


def _end(child: int, limit: float | None) -> int:
    """How a child ends; one that only sleeps is ended, too."""
    deadline = None if limit is None else time.monotonic() + _ASLEEP * limit
    pause = 0.001
    while deadline is None or time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            if code in (-signal.SIGXCPU, -signal.SIGKILL):
                return SLOW
            return code if code in (SURVIVED, _ANEW) else KILLED
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return SLOW


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Compiles the engine's modules with *made*, or the one module *only*."""

    def __init__(self, made: Callable[[Path, ModuleType], CodeType], only: str = "") -> None:
        self._made = made
        self._only = only

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, _target: object = None
    ) -> ModuleSpec | None:
        """Python's hook: where a module of the engine is."""
        if not fullname.startswith("migratable.check") or not path:
            return None
        last = fullname.rpartition(".")[2]
        for file in (Path(path[0], last, "__init__.py"), Path(path[0], f"{last}.py")):
            if file.exists():
                if self._only and file != CHECK / f"{self._only}.py":
                    return None
                return importlib.util.spec_from_file_location(
                    fullname,
                    file,
                    loader=self,
                    submodule_search_locations=(
                        [str(file.parent)] if file.name == "__init__.py" else None
                    ),
                )
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Python's hook: run it."""
        assert module.__file__ is not None
        exec(self._made(Path(module.__file__), module), module.__dict__)


# which test runs what


def coverage(tests: Sequence[str] = FOLDERS) -> Coverage:
    """Run all tests once, in a fork, and see which lines of the engine each runs."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "coverage"
        forked(lambda _: _trace(tests, result))
        if not result.exists():
            raise SystemExit("mutants: the tests cannot be run; see `make quick`")
        found, failed = pickle.loads(result.read_bytes())
    if failed:
        raise SystemExit("mutants: tests fail without any mutant: " + ", ".join(failed))
    assert isinstance(found, Coverage)
    return found


def _trace(tests: Sequence[str], result: Path) -> int:
    found, failed = Coverage(), []

    sys.meta_path.insert(0, _Finder(_noted))

    def take() -> list[tuple[str, int]]:
        taken = [(file, line) for file, lines in _LINES.items() for line in lines]
        for lines in _LINES.values():
            lines.clear()
        return taken

    def then(session: Session) -> None:
        found.imported.update(take())
        caches = _caches()
        for name, passed, seconds in session.run(list(session.items)):
            found.seconds[name] = seconds
            if not passed:
                failed.append(name)
            for place in take():
                found.lines.setdefault(place, set()).add(name)
            for cache in caches:
                cache.cache_clear()

    collect(then, tests)
    result.write_bytes(pickle.dumps((found, failed)))
    return 0


_LINES: dict[str, set[int]] = {}


def _noted(path: Path, module: ModuleType) -> CodeType:
    lines = _LINES.setdefault(str(path.relative_to(CHECK)), set())
    setattr(module, NOTE, lines.add)
    return compile(noting(path), str(path), "exec")


# changes inside functions


def _caches() -> list[Any]:
    """What the engine's functions keep of earlier calls."""
    return [
        one
        for one in gc.get_objects()
        if isinstance(one, functools._lru_cache_wrapper)
        and getattr(one, "__module__", "").startswith("migratable.check")
    ]


class Functions:
    """The engine's functions of this process, by file."""

    def __init__(self) -> None:
        gc.collect()
        self._found: dict[str, list[FunctionType]] = {}
        self._caches = _caches()
        for one in gc.get_objects():
            if isinstance(one, FunctionType) and one.__code__.co_filename.startswith(_TRACED):
                self._found.setdefault(one.__code__.co_filename, []).append(one)

    def change(self, mutant: Mutant) -> bool:
        """Swap the changed code in; False when that needs a new import."""
        compiled = compile(changed(mutant), str(mutant.path), "exec")
        codes: dict[tuple[str, int], list[CodeType]] = {}
        for code in _codes(compiled):
            codes.setdefault((code.co_qualname, code.co_firstlineno), []).append(code)
        swapped = False
        for function in self._found.get(str(mutant.path), ()):
            old = function.__code__
            new = codes.get((old.co_qualname, old.co_firstlineno), [])
            if len(new) == 1 and new[0] != old:
                if new[0].co_freevars != old.co_freevars:
                    return False
                function.__code__ = new[0]
                swapped = True
        for cache in self._caches:
            cache.cache_clear()
        return swapped


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def judge_inside(
    session: Session, functions: Functions, mutant: Mutant, tests: Sequence[str], limit: float
) -> int:
    """Judge a change inside a function."""

    def work(folder: Path) -> int:
        session.folder(folder)
        if not functions.change(mutant):
            return _ANEW
        return SURVIVED if all(passed for _, passed, _ in session.run(tests)) else KILLED

    status = forked(work, limit)
    return judge_outside(mutant, tests, limit) if status == _ANEW else status


# changes of what is run when a module is imported


def judge_outside(mutant: Mutant, tests: Sequence[str], limit: float) -> int:
    """Judge a change of what the module's import runs."""

    def work(folder: Path) -> int:
        for name in list(sys.modules):
            if name.partition(".")[0] in ("migratable", "tests"):
                del sys.modules[name]
        compiled = compile(changed(mutant), str(mutant.path), "exec")
        sys.meta_path.insert(0, _Finder(lambda *_: compiled, mutant.module))
        passed = False

        def then(session: Session) -> None:
            nonlocal passed
            session.folder(folder)
            there = [name for name in tests if name in session.items]
            # A test whose name the change took away has noticed it.
            passed = len(there) == len(tests) and all(good for _, good, _ in session.run(there))

        collect(then, sorted({name.partition("::")[0] for name in tests}))
        return SURVIVED if passed else KILLED

    return forked(work, limit)
