"""Check one VM against one destination, and keep results for the next pair."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

from migratable.check import check, not_started
from migratable.check.baseline import Baseline
from migratable.check.cache import equivalence
from migratable.check.cache.prepared_stream import Ready, Streams
from migratable.check.cache.replay_cache import Memo
from migratable.check.verdict import verdict_of
from migratable.errors import MigratableError
from migratable.fleet.cells import Answer
from migratable.fleet.entities import Destination, Guest
from migratable.profile.model import Profile
from migratable.stream import Stream
from migratable.unchecked import Code, Unchecked
from migratable.verdict import Verdict

Check = Callable[..., Verdict]
""":func:`migratable.check.check`, or what is called like it: ``check(stream, profile)``."""

AT_POWER_ON = Unchecked(
    "changes by the guest's drivers: this is its state at power-on", Code.AT_POWER_ON
)


class Pairs:
    """Answers for pairs of guests and numbered destinations.

    :ivar kinds: key of each destination; equal ones give equal answers.
    """

    def __init__(self, destinations: Sequence[Destination], *, check: Check | None = None) -> None:
        """Compute the keys."""
        self._check = check
        self._destinations = destinations
        self._memos: dict[Hashable, Memo] = {}
        self._streams = Streams()
        self._ready: Ready | None = None
        self._origins: dict[int, tuple[Profile, equivalence.Kind]] = {}
        known: dict[int, equivalence.Kind] = {}
        self.kinds: list[Hashable] = []
        for destination in destinations:
            if destination.profile is None:
                self.kinds.append(
                    (
                        destination.refused,
                        destination.only_kvm,
                        destination.doubt,
                        destination.failure,
                    )
                )
                continue
            at = id(destination.profile)
            if at not in known:
                known[at] = equivalence.kind(destination.profile)
            self.kinds.append(known[at])

    def origin_key(self, origin: Profile | None) -> bytes:
        """Key of a source's profile, computed once for each."""
        if origin is None:
            return b""
        found = self._origins.get(id(origin))
        if found is None:
            found = self._origins[id(origin)] = (origin, equivalence.kind(origin))
        return found[1]

    def answer(self, guest: Guest, at: int) -> Answer:
        """Check *guest* on destination number *at*; all of one guest in one go are fastest."""
        destination = self._destinations[at]
        if guest.stream is None:
            return Answer.failed(guest.failure)
        if destination.profile is not None and destination.profile.refused:
            return Answer.of(check(guest.stream, destination.profile))
        if destination.refused:
            return Answer.of(
                not_started(
                    destination.refused,
                    stream=guest.stream,
                    only_kvm=destination.only_kvm,
                    doubt=destination.doubt,
                )
            )
        if destination.profile is None:
            return Answer.failed(destination.failure)
        try:
            answer = self._answer(guest.stream, guest.profile, at, destination.profile)
        except MigratableError as error:
            return Answer.failed(str(error))
        if guest.at_power_on and answer.verdict is not None:
            unchecked = (*answer.verdict.unchecked, AT_POWER_ON)
            return replace(answer, verdict=replace(answer.verdict, unchecked=unchecked))
        return answer

    def _answer(self, stream: Stream, origin: Profile | None, at: int, profile: Profile) -> Answer:
        if self._check is not None:
            return Answer.of(self._check(stream, profile))
        if profile.loader is None:
            return Answer.of(check(stream, profile, origin=origin))
        kind = self.kinds[at]
        memo = self._memos.get(kind)
        if memo is None:
            memo = self._memos[kind] = Memo(Baseline(profile, profile.loader))
        if self._ready is None or self._ready.stream is not stream:
            self._ready = self._streams.ready(stream)
        answer = memo.answer(
            self._ready,
            lambda replay: Answer.of(verdict_of(replay, {}, memo.baseline.profile)),
            origin=origin,
            origin_key=self.origin_key(origin),
        )
        assert isinstance(answer, Answer)
        return answer
