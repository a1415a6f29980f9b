"""The changes that make a mutant.

The operators are few: a comparison becomes its neighbour, ``and`` becomes ``or``, a condition is
negated, a number grows by one, a call's statement or a ``raise`` is dropped, ``None`` is returned,
a loop ends early. Docstrings, annotations, members of classes and our own sentences are left alone,
and so are the examples of rules, which are tests, with what only they use.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "src" / "migratable" / "check"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One change.

    :ivar module: its path below ``check/`` without ``.py``.
    :ivar what: the change, in words.
    :ivar number: of the change among all of the module.
    :ivar statement: line at which the statement begins that it is in.
    :ivar inside: whether it is in a function's body; else the import of the module runs it.
    """

    module: str
    line: int
    what: str
    number: int
    statement: int
    inside: bool

    @property
    def path(self) -> Path:
        """The file."""
        return CHECK / f"{self.module}.py"

    @property
    def code(self) -> str:
        """The changed line as it is."""
        text = self.path.read_text(encoding="utf-8").splitlines()
        return text[self.line - 1].strip() if self.line else ""

    def __str__(self) -> str:
        return f"{self.module}.py:{self.line}: {self.what}: {self.code}"


class _Changer(ast.NodeTransformer):
    """Makes the change of one number, or counts all of them."""

    def __init__(self, tree: ast.Module, wanted: int | None = None) -> None:
        self.wanted = wanted
        self._left_alone = {id(node) for node in _of_examples(tree)}
        self.found: list[tuple[int, str, int, bool]] = []
        self._statements: list[int] = []
        self._functions = 0

    def visit(self, node: ast.AST) -> ast.AST:
        """Know which statement the node is in."""
        if id(node) in self._left_alone:
            return node
        if not isinstance(node, ast.stmt):
            plain: ast.AST = super().visit(node)
            return plain
        self._statements.append(node.lineno)
        made: ast.AST = super().visit(node)
        self._statements.pop()
        return made

    def _is(self, node: ast.AST, what: str) -> bool:
        line: int = getattr(node, "lineno", 0)
        statement = self._statements[-1] if self._statements else line
        self.found.append((line, what, statement, self._functions > 0))
        return self.wanted == len(self.found) - 1

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """Docstrings, annotations and defaults are no code; a protocol's methods have none."""
        documented = ast.get_docstring(node) is not None
        if documented and len(node.body) == 1:
            return node
        self._functions += 1
        made: list[ast.stmt] = node.body[:documented]
        for statement in node.body[documented:]:
            changed = self.visit(statement)
            assert isinstance(changed, ast.stmt)
            made.append(changed)
        node.body = made
        self._functions -= 1
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        """Whether a dataclass has slots is no code."""
        made: list[ast.stmt] = []
        for statement in node.body:
            changed = self.visit(statement)
            assert isinstance(changed, ast.stmt)
            made.append(changed)
        node.body = made
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        """Members of classes and tables of modules are no code."""
        if node.value is not None and self._functions:
            value = self.visit(node.value)
            assert isinstance(value, ast.expr)
            node.value = value
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
        """A condition is negated; what is there for mypy alone is no code."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return node
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


def _of_examples(tree: ast.Module) -> list[ast.AST]:
    """A rule's examples, and the functions and values of its module that nothing else uses."""
    keywords = [node for node in ast.walk(tree) if isinstance(node, ast.keyword)]
    examples: list[ast.AST] = [node for node in keywords if node.arg == "examples"]
    if not examples:
        return []
    apart = {id(node) for example in examples for node in ast.walk(example)}
    named = {name: node for node in tree.body for name in _defined(node)}
    waiting = [name for name in named if not name.startswith("_")]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in named and name not in reached:
            reached.add(name)
            nodes = [node for node in ast.walk(named[name]) if id(node) not in apart]
            waiting += [node.id for node in nodes if isinstance(node, ast.Name)]
    return [*examples, *(node for name, node in named.items() if name not in reached)]


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def mutants(module: str) -> list[Mutant]:
    """All mutants of a module."""
    tree = ast.parse((CHECK / f"{module}.py").read_text(encoding="utf-8"))
    changer = _Changer(tree)
    changer.visit(tree)
    return [
        Mutant(
            module=module, line=line, what=what, number=number, statement=statement, inside=inside
        )
        for number, (line, what, statement, inside) in enumerate(changer.found)
    ]


def changed(mutant: Mutant) -> ast.Module:
    """The module with the change."""
    tree = ast.parse(mutant.path.read_text(encoding="utf-8"))
    made = _Changer(tree, mutant.number).visit(tree)
    assert isinstance(made, ast.Module)
    return ast.fix_missing_locations(made)


class _Noter(ast.NodeTransformer):
    """Calls ``NOTE`` with the line of each statement of functions before it is run."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        """A docstring stays the first statement."""
        documented = ast.get_docstring(node) is not None
        node.body = [*node.body[:documented], *self._noted(node.body[documented:])]
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        """Note all bodies but those of modules and classes."""
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list) and not isinstance(node, ast.Module | ast.ClassDef):
                setattr(node, name, self._noted(body))
            elif isinstance(body, list):
                setattr(node, name, [self.visit(one) for one in body])
        for name in ("handlers", "cases"):
            for one in getattr(node, name, ()):
                self.visit(one)
        return node

    def _noted(self, body: list[ast.stmt]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for one in body:
            line = one.lineno
            call = ast.Call(ast.Name(NOTE, ast.Load()), [ast.Constant(line)], [])
            made += [ast.copy_location(ast.Expr(call), one), self.visit(one)]
        return made


NOTE = "_note_line"


def noting(path: Path) -> ast.Module:
    """The module, telling which statements it runs."""
    made = _Noter().visit(ast.parse(path.read_text(encoding="utf-8")))
    assert isinstance(made, ast.Module)
    return ast.fix_missing_locations(made)
