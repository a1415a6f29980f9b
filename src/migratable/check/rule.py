"""A rule: one file in :mod:`migratable.check.rules`.

The module's docstring is its page and what ``migratable rule ID`` prints. ``RULE`` says of which
events of the loader it is asked; ``check`` yields what it finds there. A rule without events is
what the engine, or the hook of a device (:mod:`migratable.check.devices`), names itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from migratable.check.problem import Problem
from migratable.messages import Fault
from migratable.messages.setting import said
from migratable.verdict import Severity

Check = Callable[[Any], Iterator[Problem]]


def _nothing(_event: object) -> Iterator[Problem]:
    yield from ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """An event with the expected answer: a part of the summary, or None for no problem."""

    event: Any
    says: str | None


def refuses(event: Any, says: str) -> Example:
    """The rule reports a problem at the event, with *says* in its summary."""
    return Example(event=event, says=says)


def loads(event: Any) -> Example:
    """The rule reports no problem at the event."""
    return Example(event=event, says=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule's identity.

    :ivar id: stem of its file with hyphens; never reused.
    :ivar severity: of its findings, when the problem does not say otherwise.
    :ivar side: which side is at fault, as far as the rule alone tells.
    :ivar now: what gets this guest moved, with choices by what was being done
        (:mod:`migratable.messages.setting`).
    :ivar prevent: what keeps the next one from failing, the same.
    :ivar verify: the command of migratable that shows it without a migration; empty where none
        does.
    :ivar reads_on: where it reports a problem at the stream's end, it has read more of a device
        than the same rule without one.
    :ivar events: types of the events that it is asked about (:mod:`migratable.check.events`).
    """

    id: str
    severity: Severity
    side: Fault
    now: str
    prevent: str
    verify: str = ""
    reads_on: bool = False
    events: tuple[type, ...] = ()
    check: Check = _nothing
    examples: tuple[Example, ...] = ()

    @property
    def page(self) -> str:
        """Its page, Markdown: the docstring of its file, with the members that say what helps."""
        module = import_module(f"migratable.check.rules.{self.id.replace('-', '_')}")
        now, prevent = said(self.now), said(self.prevent)
        lines = [f"At fault: {self.side}.", f"Fix now: {now}", f"Prevent: {prevent}"]
        if self.verify:
            lines.append(f"Verify: `migratable {self.verify}`.")
        members = "".join(f"\n- {line}" for line in lines)
        return (module.__doc__ or "").replace("\n\n## Source", f"\n{members}\n\n## Source")
