"""The devices' hooks and the rules that answer an event of the loader."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from migratable.check import devices
from migratable.check.events import BodyEntered, BodyLoaded
from migratable.check.problem import Problem
from migratable.check.rule import Rule
from migratable.check.rules import RULES


@cache
def rules() -> dict[str, Rule]:
    """All rules by id, in the order of the loader."""
    return {rule.id: rule for rule in RULES}


_asked: dict[type, tuple[Rule, ...]] = {}


def rules_for(event: type) -> tuple[Rule, ...]:
    """The rules that answer a kind of event."""
    asked = _asked.get(event)
    if asked is None:
        asked = _asked[event] = tuple(rule for rule in RULES if event in rule.events)
    return asked


def ask_rules(event: Any) -> Iterator[Problem]:
    """Ask the hooks of devices, then the rules, about an event."""
    if isinstance(event, BodyLoaded):
        yield from devices.after(event)
    elif isinstance(event, BodyEntered):
        yield from devices.before(event)
    for rule in rules_for(type(event)):
        yield from rule.check(event)
