"""Mutants of the engine: change one thing in a module; do the tests without QEMU notice?

    python tools/mutate.py savevm vmstate            every mutant of these modules of check/
    python tools/mutate.py --sample 60 --seed 1      60 of all the engine's modules
    python tools/mutate.py --only vmstate:230        those of one line

A mutant is judged in a process of its own that replays the recorded pairs (``tests/recorded``) and
then runs the tests of ``tests/unit/check`` and ``tests/property``, until something differs. The
operators are few: a comparison becomes its neighbour, ``and`` becomes ``or``, a condition is
negated, a number grows by one, an argument or a call's statement is dropped, ``None`` or nothing
is returned. Survivors are printed; those that are known, with the reason why nothing can notice,
are in docs/explanation/mutants.md.
"""

from __future__ import annotations

import argparse
import ast
import importlib.abc
import importlib.util
import io
import os
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
CHECK = ROOT / "src" / "migratable" / "check"
ENGINE = (
    *("savevm", "vmstate", "vmstate_types", "baseline", "guide", "qemu_file", "state"),
    *("stderr", "verdict", "findings", "registry", "tracker"),
)
_COMPARE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
KILLED, SURVIVED, SLOW = 1, 0, 2
SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change.

    :ivar number: of the change among all of the module.
    """

    module: str
    line: int
    what: str
    number: int


class _Changer(ast.NodeTransformer):
    """Makes the change of one number, or counts all of them."""

    def __init__(self, wanted: int | None = None) -> None:
        self.wanted = wanted
        self.found: list[tuple[int, str]] = []
        self._quiet = 0

    def _is(self, node: ast.AST, what: str) -> bool:
        if self._quiet:
            return False
        self.found.append((getattr(node, "lineno", 0), what))
        return self.wanted == len(self.found) - 1

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Docstrings and annotations are no code; a protocol's methods have none."""
        if ast.get_docstring(node) is not None:
            if len(node.body) == 1:
                return node
            head, node.body = node.body[:1], node.body[1:]
            self._body(node)
            node.body = head + node.body
            return node
        self._body(node)
        return node

    def _body(self, node: ast.FunctionDef) -> None:
        made: list[ast.stmt] = []
        for statement in node.body:
            changed = self.visit(statement)
            made += changed if isinstance(changed, list) else [changed]
        node.body = made

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Members of classes are no code."""
        if node.value is not None and not isinstance(node.target, ast.Name):
            node.value = self.visit(node.value)
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        """Our own sentences may be improved."""
        return node

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """An error that is not raised."""
        if self._is(node, "raise dropped"):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        """A comparison becomes its neighbour."""
        other = _COMPARE[type(node.ops[0])]
        if self._is(node, f"{type(node.ops[0]).__name__} -> {other.__name__}"):
            node.ops[0] = other()
            return node
        return self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> ast.AST:
        """``and`` becomes ``or``."""
        if self._is(node, f"{type(node.op).__name__} swapped"):
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            return node
        return self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        """Arithmetic becomes other arithmetic."""
        other = _ARITHMETIC.get(type(node.op))
        if other is not None and self._is(node, f"{type(node.op).__name__} -> {other.__name__}"):
            node.op = other()
            return node
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST:
        """A condition is negated."""
        if self._is(node, "if negated"):
            node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
            return node
        return self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        """A condition is negated."""
        if self._is(node, "if negated"):
            node.test = ast.UnaryOp(op=ast.Not(), operand=node.test)
            return node
        return self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """A number grows by one."""
        value = node.value
        if isinstance(value, bool):
            if self._is(node, f"{value} -> {not value}"):
                return ast.copy_location(ast.Constant(value=not value), node)
        elif isinstance(value, int) and self._is(node, f"{value} + 1"):
            return ast.copy_location(ast.Constant(value=value + 1), node)
        return node

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        """A call's statement is dropped."""
        if isinstance(node.value, ast.Call) and self._is(node, "call dropped"):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_Return(self, node: ast.Return) -> ast.AST:
        """``None`` is returned."""
        plain = node.value is None or isinstance(node.value, ast.Constant)
        if not plain and self._is(node, "return None"):
            node.value = ast.Constant(value=None)
            return node
        return self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> ast.AST:
        """A loop ends early."""
        return ast.copy_location(ast.Break(), node) if self._is(node, "break") else node


def mutants(module: str) -> list[Mutant]:
    """All mutants of a module."""
    changer = _Changer()
    changer.visit(ast.parse((CHECK / f"{module}.py").read_text(encoding="utf-8")))
    return [Mutant(module, line, what, number) for number, (line, what) in enumerate(changer.found)]


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module changed."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = f"migratable.check.{mutant.module}"

    def find_spec(
        self, fullname: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        path = CHECK / f"{self._mutant.module}.py"
        return importlib.util.spec_from_file_location(fullname, path, loader=self)

    def create_module(self, _spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        path = CHECK / f"{self._mutant.module}.py"
        tree = _Changer(self._mutant.number).visit(ast.parse(path.read_text(encoding="utf-8")))
        exec(compile(ast.fix_missing_locations(tree), str(path), "exec"), module.__dict__)


def _differs(mutant: Mutant) -> bool:
    """In a process of its own: whether anything notices the change."""
    sys.meta_path.insert(0, _Finder(mutant))
    from migratable.check import check  # noqa: PLC0415 -- the changed one
    from tests import recorded  # noqa: PLC0415

    known = recorded.recorded()
    for source, destination in recorded.pairs():
        origin = recorded.profile(source) if source in recorded.names() else None
        verdict = check(recorded.source(source), recorded.profile(destination), origin=origin)
        if recorded.digest(verdict) != known[f"{source} > {destination}"]["predicted"]:
            return True
    import pytest  # noqa: PLC0415

    arguments = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not real"]
    folders = ["tests/unit/check", "tests/property/test_cache.py", "tests/property/test_check.py"]
    skipped = ["--deselect", "tests/unit/check/test_recorded.py::test_pair"]
    return pytest.main([*arguments, *skipped, *folders]) != 0


def judge(mutant: Mutant) -> int:
    """Run a mutant in a fork of this process; how it ended."""
    child = os.fork()
    if child == 0:
        status = KILLED
        try:
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                status = KILLED if _differs(mutant) else SURVIVED
        except BaseException:  # noqa: BLE001 -- whatever it dies of
            status = KILLED
        os._exit(status)
    return _end(child)


def _end(child: int) -> int:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return KILLED  # it does not end: the tests' own limit would have ended it


def run(chosen: Sequence[Mutant], say: Callable[[str], None] = print) -> list[Mutant]:
    """Judge mutants; those that nothing notices."""
    _warm()
    alive = []
    for number, mutant in enumerate(chosen, 1):
        if judge(mutant) == SURVIVED:
            alive.append(mutant)
            text = (CHECK / f"{mutant.module}.py").read_text(encoding="utf-8").splitlines()
            line = text[mutant.line - 1].strip() if mutant.line else ""
            say(f"SURVIVED {mutant.module}.py:{mutant.line}: {mutant.what}: {line}")
        if number % 50 == 0:
            say(f"{number} of {len(chosen)}, {len(alive)} survive")
    share = 100 * (1 - len(alive) / max(len(chosen), 1))
    say(f"{len(chosen)} mutants, {len(alive)} survive: {share:.1f} % killed")
    return alive


def _warm() -> None:
    """Read the profiles once; no module of the engine is imported by that."""
    from tests import recorded  # noqa: PLC0415

    for name in recorded.names():
        recorded.profile(name)
    assert not any(name.startswith("migratable.check") for name in sys.modules)


def _wanted(only: str, found: Sequence[Mutant]) -> Iterator[Mutant]:
    module, _, line = only.partition(":")
    for mutant in found:
        if mutant.module == module and (not line or mutant.line == int(line)):
            yield mutant


def main() -> None:
    """Judge what is asked for; end with 1 when something survives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--sample", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", metavar="MODULE:LINE")
    options = parser.parse_args()
    os.chdir(ROOT)
    chosen = [mutant for module in options.modules or ENGINE for mutant in mutants(module)]
    if options.only:
        chosen = list(_wanted(options.only, chosen))
    if options.sample is not None:
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    sys.exit(bool(run(chosen)))


if __name__ == "__main__":
    main()
