"""One VM against one destination, and what is kept of it for the next pair."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from migratable.check import check, not_started
from migratable.check.destination import Destination as PreparedDestination
from migratable.errors import MigratableError
from migratable.fleet import reduce
from migratable.fleet.answers import Answer
from migratable.fleet.parts import Destination, Guest
from migratable.profile.model import Profile
from migratable.stream import Stream
from migratable.verdict import Verdict

Check = Callable[..., Verdict]
""":func:`migratable.check.check`, or what is called like it: ``check(stream, profile)``."""

AT_POWER_ON = "what the guest's drivers do to its devices: this is its state at power-on"


class Pairs:
    """Answers for pairs of guests and numbered destinations.

    :ivar kinds: key of each destination; equal ones give equal answers.
    """

    def __init__(self, destinations: Sequence[Destination], *, check: Check | None = None) -> None:
        """Compute the keys."""
        self._check = check
        self._destinations = destinations
        self._prepared: dict[int, PreparedDestination] = {}
        known: dict[int, reduce.Kind] = {}
        self.kinds: list[Hashable] = []
        for one in destinations:
            if one.profile is None:
                self.kinds.append((one.refused, one.only_kvm, one.failure))
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
            return Answer.of(
                not_started(destination.refused, stream=guest.stream, only_kvm=destination.only_kvm)
            )
        if destination.profile is None:
            return Answer.failed(destination.failure)
        try:
            verdict = self._verdict(guest.stream, at, destination.profile)
        except MigratableError as error:
            return Answer.failed(str(error))
        if guest.at_power_on:
            verdict = replace(verdict, unchecked=(*verdict.unchecked, AT_POWER_ON))
        return Answer.of(verdict)

    def _verdict(self, stream: Stream, at: int, profile: Profile) -> Verdict:
        if self._check is not None:
            return self._check(stream, profile)
        if profile.loader is None:
            return check(stream, profile)
        prepared = self._prepared.get(at)
        if prepared is None:
            prepared = self._prepared[at] = PreparedDestination(profile, profile.loader)
        return check(stream, prepared)
