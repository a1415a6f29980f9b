"""What helps against a message: its own words, and its rule's where it has none."""

from __future__ import annotations

from dataclasses import dataclass

from migratable.check.rules import rule as find
from migratable.messages.catalogue import Fault, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Who is at fault, and what to do.

    :ivar now, ever: may have parameters of the message in braces.
    :ivar verify: a command of migratable, empty where none shows the cause.
    """

    side: Fault = Fault.CANNOT_TELL
    now: str = ""
    ever: str = ""
    verify: str = ""


def of_rule(rule: str | None) -> Advice:
    """What holds for all messages of a rule; nothing for None."""
    found = find(rule or "")
    if found is None:
        return Advice()
    return Advice(side=found.side, now=found.now, ever=found.prevent, verify=found.verify)


def of_message(message: Message) -> Advice:
    """What holds for a message."""
    common = of_rule(message.rule)
    return Advice(
        side=common.side if message.fault is None else message.fault,
        now=common.now if message.now is None else message.now,
        ever=common.ever if message.ever is None else message.ever,
        verify=common.verify if message.verify is None else message.verify,
    )
