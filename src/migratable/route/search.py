"""Find the shortest chain of hosts to a destination that refuses the VM directly."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from migratable.check.cache import equivalence
from migratable.route.hop import Hop, Host, put
from migratable.stream import Stream
from migratable.verdict import Outcome, Verdict

SCHEMA = "migratable.route/1"
MOST_BETWEEN = 3
"""Hosts between source and destination, unless the user says otherwise."""

Told = Callable[[Sequence[str], str], None]
"""Told which hosts the VM has passed and to which it is put now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A way that was looked at and went no further.

    :ivar path: hosts passed before.
    """

    path: tuple[str, ...]
    hop: Hop


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The result.

    :ivar outcome: LOADS when every hop of :attr:`hops` loads, UNKNOWN when for one that is not
        known, REFUSED when there is no way.
    :ivar direct: the destination's own answer, which is why a way round is looked for.
    :ivar hops: the chain, the destination last; empty when there is none.
    :ivar tried: all ways that ended.
    :ivar left_out: what was not tried, in words.
    """

    source: Mapping[str, Any]
    destination: str
    outcome: Outcome
    direct: Verdict
    hops: tuple[Hop, ...] = ()
    tried: tuple[Tried, ...] = ()
    left_out: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """One object for a program."""
        return {
            "schema": SCHEMA,
            "outcome": str(self.outcome),
            "source": dict(self.source),
            "destination": self.destination,
            "direct": self.direct.to_json(),
            "hops": [_hop_json(hop) for hop in self.hops],
            "tried": [{"path": list(one.path), **_hop_json(one.hop)} for one in self.tried],
            "left_out": list(self.left_out),
        }


def _hop_json(hop: Hop) -> dict[str, Any]:
    return {
        "host": hop.host,
        "verdict": hop.verdict.to_json(),
        "after": None if hop.after_basis is None else str(hop.after_basis),
        "assumed": list(hop.assumed),
        "stuck": hop.stuck or None,
    }


def find_route(
    stream: Stream,
    destination: Host,
    via: Sequence[Host],
    *,
    source: Mapping[str, Any] | None = None,
    most: int = MOST_BETWEEN,
    rehearse: bool = True,
    timeout: float = 60.0,
    told: Told | None = None,
) -> Route:
    """Look for the shortest chain, breadth first.

    A hop that is known to load is preferred to any that is not known: a chain with an unknown hop
    is given only when there is no other.

    :param via: hosts that may be passed, each once.
    :param most: how many of them at most.
    :param rehearse: use programs that are here; see :mod:`.hop`.
    """
    search = _Search(destination, via, most, rehearse, timeout, told)
    hops = search.run(stream)
    outcome = Outcome.REFUSED
    if hops:
        unsure = any(hop.verdict.outcome is Outcome.UNKNOWN for hop in hops)
        outcome = Outcome.UNKNOWN if unsure else Outcome.LOADS
    elif any(one.hop.verdict.outcome is Outcome.UNKNOWN for one in search.tried):
        outcome = Outcome.UNKNOWN
    assert search.direct is not None
    return Route(
        source=source or {},
        destination=destination.name,
        outcome=outcome,
        direct=search.direct.verdict,
        hops=hops,
        tried=tuple(search.tried),
        left_out=tuple(search.left_out),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """A VM on its way: hops so far and what it looks like now."""

    stream: Stream
    hops: tuple[Hop, ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        return tuple(hop.host for hop in self.hops)


@dataclass(slots=True)
class _Search:
    destination: Host
    via: Sequence[Host]
    most: int
    rehearse: bool
    timeout: float
    told: Told | None
    direct: Hop | None = None
    tried: list[Tried] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def run(self, stream: Stream) -> tuple[Hop, ...]:
        """Chains that are sure first, then those with an unknown hop."""
        unsure: list[tuple[Hop, ...]] = []
        later: list[_State] = []
        for states in (deque([_State(stream=stream)]), None):
            queue = deque(later) if states is None else states
            found = self._breadth_first(queue, unsure, later, sure=states is not None)
            if found:
                return found
            if unsure:
                return min(unsure, key=len)
        return ()

    def _breadth_first(
        self,
        queue: deque[_State],
        unsure: list[tuple[Hop, ...]],
        later: list[_State],
        *,
        sure: bool,
    ) -> tuple[Hop, ...]:
        seen: set[tuple[str, bytes]] = set()
        while queue:
            state = queue.popleft()
            last = self._put(state, self.destination, onward=False)
            if self.direct is None:
                self.direct = last
            if last.verdict.outcome is Outcome.LOADS:
                if sure:
                    return (*state.hops, last)
                unsure.append((*state.hops, last))
                continue
            if last.verdict.outcome is Outcome.UNKNOWN:
                unsure.append((*state.hops, last))
            self.tried.append(Tried(path=state.path, hop=last))
            for hop in self._onward(state):
                assert hop.after is not None
                key = (hop.host, equivalence.shape(hop.after))
                if key in seen:  # another way to the same host left the VM the same
                    continue
                seen.add(key)
                passed = _State(stream=hop.after, hops=(*state.hops, hop))
                known = hop.verdict.outcome is Outcome.LOADS
                (queue if known or not sure else later).append(passed)
        return ()

    def _onward(self, state: _State) -> list[Hop]:
        """Hosts from which the VM goes on."""
        left = [host for host in self.via if host.name not in state.path]
        if len(state.hops) >= self.most:
            if left:
                text = f"ways over more than {self.most} hosts"
                self.left_out.extend([] if text in self.left_out else [text])
            return []
        found = []
        for host in left:
            hop = self._put(state, host, onward=True)
            if hop.after is None:
                self.tried.append(Tried(path=state.path, hop=hop))
            else:
                found.append(hop)
        return found

    def _put(self, state: _State, host: Host, *, onward: bool) -> Hop:
        if self.told is not None:
            self.told(state.path, host.name)
        return put(state.stream, host, onward=onward, rehearse=self.rehearse, timeout=self.timeout)
