"""Messages in groups: a test for each of some thousand costs more than what it tests."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from migratable.messages.catalogue import Message


def _word(message: Message) -> str:
    return message.id.partition("-")[0]


def by_first_word(messages: Iterable[Message]) -> list[list[Message]]:
    """The messages whose ids begin with the same word, together."""
    groups = itertools.groupby(sorted(messages, key=lambda one: one.id), key=_word)
    return [list(members) for _, members in groups]


def word_of(group: Sequence[Message]) -> str:
    """The word, as the test's name."""
    return _word(group[0])
