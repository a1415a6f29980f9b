"""A rule: one file in :mod:`migratable.check.rules`, found by its name.

The module's docstring is its page and what ``migratable rule ID`` prints. ``RULE`` says at which
point of the loader it looks; ``check`` yields what it finds there. There is no list to edit.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from migratable.check.problem import Problem
from migratable.verdict import Severity

Check = Callable[[Any], Iterator[Problem]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A point with what the rule must say to it: the summary's beginning, or None for nothing."""

    at: Any
    says: str | None


def refuses(at: Any, says: str) -> Example:
    """The rule finds something at the point, with a summary that has *says* in it."""
    return Example(at=at, says=says)


def loads(at: Any) -> Example:
    """The rule finds nothing at the point."""
    return Example(at=at, says=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule's identity.

    :ivar id: stem of its file with hyphens; never reused.
    :ivar severity: of its findings, when the problem does not say otherwise.
    :ivar at: types of the points at which it looks (:mod:`migratable.check.events`).
    """

    id: str
    severity: Severity
    at: tuple[type, ...]
    check: Check
    examples: tuple[Example, ...] = ()


@cache
def rules() -> dict[str, Rule]:
    """All rules by id."""
    from migratable.check import rules as package  # noqa: PLC0415 -- rules import this module

    found: dict[str, Rule] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        rule: Rule = module.RULE
        found[rule.id] = rule
    return found


_at: dict[type, tuple[Rule, ...]] = {}


def rules_at(point: type) -> tuple[Rule, ...]:
    """The rules that look at a kind of point."""
    found = _at.get(point)
    if found is None:
        found = _at[point] = tuple(rule for rule in rules().values() if point in rule.at)
    return found


def look(point: Any) -> Iterator[Problem]:
    """Show a point to the rules that are for it."""
    for rule in rules_at(type(point)):
        yield from rule.check(point)
