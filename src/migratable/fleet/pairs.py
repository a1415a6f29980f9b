"""One VM against one destination, and what is kept of it for the next pair."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from migratable.errors import MigratableError
from migratable.fleet import reduce
from migratable.fleet.answers import Answer, not_started
from migratable.fleet.parts import Destination, Guest
from migratable.verdict import Verdict

Check = Callable[..., Verdict]
""":func:`migratable.check.check`, or what is called like it: ``check(stream, profile)``."""


class Pairs:
    """Answers for pairs of guests and numbered destinations.

    :ivar kinds: key of each destination; equal ones give equal answers.
    """

    def __init__(self, destinations: Sequence[Destination], *, check: Check | None = None) -> None:
        """Compute the keys."""
        if check is None:
            import migratable.check  # noqa: PLC0415 -- it imports all rules

            check = vars(migratable.check)["check"]
        self._check: Check = check
        self._destinations = destinations
        known: dict[int, reduce.Kind] = {}
        self.kinds: list[Hashable] = []
        for one in destinations:
            if one.profile is None:
                self.kinds.append((one.refused, one.failure))
                continue
            at = id(one.profile)
            if at not in known:
                known[at] = reduce.kind(one.profile)
            self.kinds.append(known[at])

    def answer(self, guest: Guest, at: int) -> Answer:
        """Check *guest* on destination number *at*."""
        destination = self._destinations[at]
        if guest.stream is None:
            return Answer.failed(guest.failure)
        if destination.refused:
            return Answer.of(not_started(destination.refused))
        if destination.profile is None:
            return Answer.failed(destination.failure)
        try:
            verdict = self._check(guest.stream, destination.profile)
        except MigratableError as error:
            return Answer.failed(str(error))
        if guest.at_power_on:
            text = "what the guest's drivers do to its devices: this is its state at power-on"
            verdict = replace(verdict, unchecked=(*verdict.unchecked, text))
        return Answer.of(verdict)
