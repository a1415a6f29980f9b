"""The features of Python 3.11 that this package uses, for 3.9 and 3.10.

Hosts (RHEL 9 has 3.9, Ubuntu 22.04 has 3.10) and the one-file program import this module before
all others. It adds the names where the newer Python has them, so the other modules need no change.
This file itself is plain Python 3.9.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import datetime
import enum
import hashlib
import itertools
import sys
import typing
from importlib import machinery
from typing import Any

LEAST = (3, 9)


def install() -> None:
    """Add what is missing; nothing on Python 3.11 and newer."""
    if sys.version_info < (3, 10):
        _python_3_10()
    if sys.version_info < (3, 11):
        _python_3_11()


def _python_3_10() -> None:
    plain_zip = builtins.zip

    def zip_(*iterables: Any, strict: bool = False) -> Any:
        if not strict:
            return plain_zip(*iterables)
        return _strict_zip(iterables)

    def pairwise(iterable: Any) -> Any:
        first, second = itertools.tee(iterable)
        next(second, None)
        return plain_zip(first, second)

    _add(builtins, "zip", zip_)
    _add(itertools, "pairwise", pairwise)
    _add(typing, "TypeAlias", typing.Any)
    _add(dataclasses, "dataclass", _dataclass(dataclasses.dataclass))
    _add(builtins, "migratable_union", _union)
    hook = machinery.FileFinder.path_hook(
        (machinery.ExtensionFileLoader, machinery.EXTENSION_SUFFIXES),
        (_Loader, machinery.SOURCE_SUFFIXES),
    )
    sys.path_hooks.insert(0, hook)
    sys.path_importer_cache.clear()


def _union(left: Any, right: Any) -> Any:
    """``left | right``, of types too."""
    try:
        return left | right
    except TypeError:
        return typing.Union[left, right]  # noqa: UP007


class _Loader(machinery.SourceFileLoader):
    """Imports modules in which types are joined by ``|`` outside annotations."""

    def source_to_code(  # type: ignore[override]
        self, data: Any, path: Any, *, _optimize: int = -1
    ) -> Any:
        tree = _Unions().visit(ast.parse(data, filename=str(path)))
        return compile(
            ast.fix_missing_locations(tree), path, "exec", dont_inherit=True, optimize=_optimize
        )


class _Unions(ast.NodeTransformer):
    """``Alias = A | B`` at the top of a module, and ``isinstance(x, A | B)`` anywhere."""

    def __init__(self) -> None:
        self._depth = 0

    def visit_FunctionDef(self, node: Any) -> Any:
        self._depth += 1
        self.generic_visit(node)
        self._depth -= 1
        return node

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef  # noqa: N815

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is not None:  # the annotation stays as it is written: it is never evaluated
            node.value = self.visit(node.value)
        return node

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        self.generic_visit(node)
        if self._depth or not isinstance(node.op, ast.BitOr):
            return node
        name = ast.Name(id="migratable_union", ctx=ast.Load())
        return ast.copy_location(
            ast.Call(func=name, args=[node.left, node.right], keywords=[]), node
        )

    def visit_Call(self, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name in {"isinstance", "issubclass"} and isinstance(node.args[-1], ast.BinOp):
            node.args[-1] = ast.Tuple(elts=_operands(node.args[-1]), ctx=ast.Load())
        self.generic_visit(node)
        return node


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return [*_operands(node.left), *_operands(node.right)]
    return [node]


def _python_3_11() -> None:
    class StrEnum(str, enum.Enum):  # noqa: UP042 -- this is what the newer Python has
        """Members are strings, also when formatted."""

        __str__ = str.__str__
        __format__ = str.__format__  # type: ignore[assignment]

        @staticmethod
        def _generate_next_value_(name: str, start: int, count: int, last: Any) -> str:
            return name.lower()

    _add(enum, "StrEnum", StrEnum)
    _add(datetime, "UTC", datetime.timezone.utc)  # noqa: UP017
    _add(hashlib, "file_digest", _file_digest)
    for name in ("Self", "Never", "LiteralString"):
        if not hasattr(typing, name):
            _add(typing, name, typing.Any)
    if not hasattr(typing, "assert_never"):
        _add(typing, "assert_never", _assert_never)


def _add(module: Any, name: str, value: Any) -> None:
    setattr(module, name, value)


def _file_digest(file: Any, name: Any) -> Any:
    digest = hashlib.new(name) if isinstance(name, str) else name()
    while data := file.read(1 << 18):
        digest.update(data)
    return digest


def _assert_never(value: Any) -> Any:
    raise AssertionError(f"unexpected {value!r}")


def _strict_zip(iterables: Any) -> Any:
    absent = object()
    for values in itertools.zip_longest(*iterables, fillvalue=absent):
        if any(value is absent for value in values):
            raise ValueError("zip() arguments have different lengths")
        yield values


def _dataclass(original: Any) -> Any:
    """``dataclass`` that takes ``slots`` (and goes without) and ``kw_only``."""

    def decorate(
        cls: Any = None,
        *,
        slots: bool = False,
        kw_only: bool = False,
        match_args: bool = True,
        **options: Any,
    ) -> Any:
        def make(cls: Any) -> Any:
            if not kw_only or not options.get("init", True):
                return original(cls, **options)
            # Members without a default may follow others: the order is that of keywords.
            own_init = cls.__dict__.get("__init__")
            made = original(cls, **{**options, "init": False})
            if own_init is None:
                made.__init__ = _keyword_init
            return made

        return make if cls is None else make(cls)

    return decorate


def _keyword_init(self: Any, **values: Any) -> None:
    for one in dataclasses.fields(self):
        if not one.init and one.name not in values:
            if one.default_factory is not dataclasses.MISSING:
                object.__setattr__(self, one.name, one.default_factory())
            elif one.default is not dataclasses.MISSING:
                object.__setattr__(self, one.name, one.default)
            continue
        if one.name in values:
            value = values.pop(one.name)
        elif one.default is not dataclasses.MISSING:
            value = one.default
        elif one.default_factory is not dataclasses.MISSING:
            value = one.default_factory()
        else:
            raise TypeError(f"{type(self).__name__}: {one.name!r} is missing")
        object.__setattr__(self, one.name, value)
    if values:
        raise TypeError(f"{type(self).__name__}: unexpected {sorted(values)}")
    after = getattr(self, "__post_init__", None)
    if after is not None:
        after()
