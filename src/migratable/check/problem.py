"""A cause that stops a loader, and the messages that QEMU prints for it.

Up to 10.1 each function on the way out prints a line of its own, inner first. From 10.2 on the
causes are links of one chain, outermost first, and only what old code reports itself is a separate
line. A :class:`RefusedError` collects both forms as it unwinds; :mod:`.stderr` renders them.
"""

from __future__ import annotations

from dataclasses import dataclass
from errno import EINVAL
from typing import TypeAlias

from migratable.facts.behaviour import behaves
from migratable.problem_facts import Facts
from migratable.unchecked import Code, Unchecked

MessageRef: TypeAlias = tuple[str, dict[str, "str | int"]]
"""A message id of :mod:`migratable.messages` and its parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The answer of a rule to one event of the replay.

    :ivar refuses: whether the loader stops here.
    :ivar words: what QEMU prints itself for it; empty when it says nothing.
    :ivar errno: what the failing function returns (positive).
    :ivar of_backend: whether another backend of the same device (a tap for a hub port) may take it.
    :ivar device: idstr of the section that it is about, where the event is of no section.
    :ivar unexamined: what it makes impossible to tell: with these no verdict is ``loads``.
    :ivar aborts: the program ends at once: nothing follows its own words.
    :ivar facts: the rule's own values, for remedies.
    :ivar unended: what follows the first line, which has no end of its own, before the next one.
    """

    rule: str
    summary: str
    explanation: str = ""
    refuses: bool = True
    severity: str = ""
    words: tuple[MessageRef, ...] = ()
    errno: int = EINVAL
    of_backend: bool = False
    device: str | None = None
    subsection: str | None = None
    field: str | None = None
    unexamined: tuple[str, ...] = ()
    aborts: bool = False
    unended: str = ""
    facts: Facts | None = None


class RefusedError(Exception):
    """The loader stops: the cause, and the messages in the order of unwinding.

    :ivar printed: lines of releases up to 10.1, inner first.
    :ivar chain: links of 10.2 and later, innermost first.
    :ivar separate: lines of 10.2 and later that are printed apart, before the chain.
    :ivar ended: the file has the error, which no type's function adds a link to.
    """

    def __init__(self, problem: Problem, release: tuple[int, int], *, ended: bool = False) -> None:
        """Begin with the cause's own message."""
        super().__init__(problem.summary)
        self.ended = ended
        self.problem = problem
        self.errno = problem.errno
        self.chained = behaves(release, "chained-errors")
        self.release = release
        self.printed: list[MessageRef] = []
        self.chain: list[MessageRef] = []
        self.separate: list[tuple[MessageRef, ...]] = []
        for words in problem.words:
            self.say(words)

    def say(self, words: MessageRef) -> None:
        """Add the code's own report: a line, or from 10.2 on a link of the chain."""
        from migratable.messages import message  # noqa: PLC0415 -- only for refusals

        self.printed.append(words)
        if self.chained:
            wording = message(words[0]).wording(self.release)
            if wording.chained:
                self.chain.append(words)
            else:
                self.separate.append((words,))

    def old(self, words: MessageRef) -> None:
        """Add a line that releases up to 10.1 print."""
        self.printed.append(words)

    def link(self, words: MessageRef) -> None:
        """Add a link of 10.2 and later around the present chain."""
        self.chain.append(words)

    def report(self) -> None:
        """Old code in 10.2 and later reports the chain so far as a line of its own."""
        if self.chain:
            self.separate.append(tuple(reversed(self.chain)))
            self.chain = []


class UnexaminedError(Exception):
    """The loader does something that the replay does not follow, so there is no verdict."""

    def __init__(self, text: str, code: Code = Code.NOT_FOLLOWED) -> None:
        """Keep the reason with its code."""
        super().__init__(text)
        self.reason = Unchecked(text, code)
