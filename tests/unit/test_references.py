"""References in docstrings and comments (``:mod:`…```, ``:class:`…```) name things that exist."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REFERENCE = re.compile(r":(mod|class|func|meth|attr|data|exc|const):`~?([^`]+)`")


def _module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _names(name: str, kind: str, package: str, module: str) -> Iterator[str]:
    """Full names that a reference in *module* may mean."""
    if name.startswith("."):
        yield package + name
    else:
        yield name
        yield f"{module}.{name}"
        if kind == "mod":
            yield f"{package}.{name}"


def _exists(name: str) -> bool:
    """Whether a module, or an attribute of one, has this full name."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        if not _module(".".join(parts[:length])):
            continue
        thing: object = importlib.import_module(".".join(parts[:length]))
        for attribute in parts[length:]:
            fields = getattr(thing, "__annotations__", {})
            if not hasattr(thing, attribute) and attribute not in fields:
                return False
            thing = getattr(thing, attribute, None)
        return True
    return False


def _of_a_class(name: str, module: str) -> bool:
    """A member that is named without its class, which the docstring is inside of."""
    found = importlib.import_module(module)
    return "." not in name and any(
        hasattr(thing, name) for thing in vars(found).values() if isinstance(thing, type)
    )


def stale(text: str, module: str, package: str) -> Iterator[str]:
    """References in the text of a module that name nothing."""
    for found in REFERENCE.finditer(text):
        kind, name = found[1], found[2].removesuffix("()")
        if any(_exists(full) for full in _names(name, kind, package, module)):
            continue
        if kind in ("meth", "attr", "func") and _of_a_class(name, module):
            continue
        line = text.count("\n", 0, found.start()) + 1
        yield f"{module}:{line}: {kind} {name}"


def test_every_reference_names_something(repository: Path) -> None:
    root = repository / "src"
    found: list[str] = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        package = module if parts[-1] == "__init__" else module.rpartition(".")[0]
        found += stale(path.read_text(encoding="utf-8"), module, package)
    assert found == []


@pytest.mark.parametrize(
    ("text", "there"),
    [
        (":mod:`.vmstate`", True),
        (":mod:`migratable.stream`", True),
        (":mod:`.nothing`", False),
        (":mod:`migratable.nothing`", False),
        (":class:`~migratable.verdict.Verdict`", True),
        (":class:`migratable.verdict.Nothing`", False),
        (":func:`.vmstate.VMStateLoader.vmstate_load_state`", True),
        (":meth:`qemu_loadvm_state`", True),
        (":meth:`qemu_loadvm_nothing`", False),
        (":attr:`Replay.nothing`", False),
        (":class:`Verdict`", False),
    ],
)
def test_a_stale_reference_is_found(text: str, there: bool) -> None:
    found = list(stale(text, "migratable.check.savevm", "migratable.check"))
    assert (found == []) is there
