"""What helps against a message: its own words, and its rule's where it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from migratable.check.rules import rule as find
from migratable.messages.catalogue import Fault, Message, Text
from migratable.messages.variants import Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Who is at fault, and what to do.

    :ivar now, prevent: may have parameters of the message in braces.
    :ivar verify: a command of migratable, empty where none shows the cause.
    """

    side: Fault = Fault.CANNOT_TELL
    now: str = ""
    prevent: str = ""
    verify: str = ""


def of_rule(rule: str | None) -> Advice:
    """What holds for all messages of a rule; nothing for None."""
    found = find(rule or "")
    if found is None:
        return Advice()
    return Advice(side=found.side, now=found.now, prevent=found.prevent, verify=found.verify)


# Rules so wide that what they say for all their messages says little for one with a remedy of its
# own.
_WIDE = frozenset({"configuration", "management", "storage", "transport", "ram-contents"})


def of_message(message: Message) -> Advice:
    """What holds for a message."""
    common = of_rule(message.rule)
    return Advice(
        side=common.side if message.fault is None else message.fault,
        now=common.now if message.now is None else message.now,
        prevent=common.prevent if message.prevent is None else message.prevent,
        verify=common.verify if message.verify is None else message.verify,
    )


def of_wording(message: Message, text: Text) -> Advice:
    """What holds for one wording of a message.

    One that has a remedy of its own does not take a wide rule's prevention, which is about
    something else.
    """
    found = of_message(message)
    own = bool(text.now) or (message.rule in _WIDE and bool(message.now))
    return replace(
        found,
        side=text.fault or found.side,
        now=text.now or found.now,
        prevent=text.prevent or ("" if own and message.prevent is None else found.prevent),
    )


def here(own: Advice, words: Mapping[str, str]) -> Advice:
    """*own* with a message's words for what is no migration."""
    return replace(
        own,
        side=Fault(words.get("side", own.side)),
        now=words.get("now", own.now),
        prevent=words.get("prevent", "" if "now" in words else own.prevent),
    )


def varied(own: Advice, variant: Variant) -> Advice:
    """*own* with the words of a message's variant."""
    return replace(
        own,
        side=Fault(variant.side or own.side),
        now=variant.now or own.now,
        prevent=variant.prevent or ("" if variant.now else own.prevent),
    )
