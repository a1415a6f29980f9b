"""Many guests and many hosts: bounded, resumable, equal guests once.

A guest is captured once, whatever the number of destinations. Two guests are equal for a host when
rules can see no difference in their streams (clones that never ran), and their command lines differ
only in names, addresses and paths; what both hosts said about the first is then said of the second,
whose own disks, networks and memory are looked at all the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migratable.check.cache import equivalence
from migratable.errors import HostError, MigratableError
from migratable.fleet.cells import NO_PAIR, Answer, Answers
from migratable.fleet.matrix import Line, Matrix
from migratable.fleet.results import from_json
from migratable.hosts.address import Address
from migratable.hosts.connection import Connection, unbinary
from migratable.hosts.preflight import Confirm, Options, Preflight, Taken, preflight, take
from migratable.stream import read
from migratable.verdict import Finding, Outcome, Verdict

Told = Callable[[str, str], None]
Done = Callable[[str, int, int], None]
_HOST_SIDE = frozenset(
    {
        "-name",
        "-uuid",
        "-qmp",
        "-mon",
        "-monitor",
        "-chardev",
        "-pidfile",
        "-D",
        "-smbios",
        "-serial",
    }
)
_NAMES = re.compile(
    r"(?P<key>mac|filename|file|path|mem-path|fd|fds|vhostfd|vhostfds|host-nodes|serial|br|ifname)"
    r"(?P<sign>\"?[=:]\"?)[^,\"}]+"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetResult:
    """Everything.

    :ivar matrix: ``migratable.matrix/1`` for pages and JUnit.
    :ivar pairs: ``migratable.preflight/1`` of each pair that has an answer.
    :ivar rehearsed: pairs that were really put to hosts; the others were equal to one of them.
    """

    matrix: Matrix
    pairs: tuple[Mapping[str, Any], ...] = ()
    failures: tuple[str, ...] = ()
    rehearsed: int = 0

    def to_json(self) -> dict[str, Any]:
        """The matrix, with each pair's own result beside it."""
        return {**self.matrix.to_json(), "preflights": list(self.pairs)}


@dataclass(slots=True)
class _Guest:
    """A row.

    :ivar failure: why there is no state.
    """

    name: str
    source: Connection
    argv: Sequence[str] = ()
    taken: Taken | None = None
    failure: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class Results:
    """A file with a line of JSON for each pair; what a run that was ended had already done."""

    def __init__(self, path: Path | None, *, resume: bool) -> None:
        """Read what is there, if that is wanted.

        :raise HostError: when the file is something else.
        """
        self._path = path
        self._lock = threading.Lock()
        self.done: dict[str, dict[str, Any]] = {}
        if path is None:
            return
        if resume and path.exists():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                try:
                    document = json.loads(line)
                    self.done[str(document["key"])] = document["document"]
                except (ValueError, KeyError, TypeError):
                    if number == 1:
                        raise HostError(f"{path}: not a results file of preflight") from None
                    # The incomplete line of an interrupted run.
        elif not resume:
            with contextlib.suppress(FileNotFoundError):
                path.unlink()

    def put(self, key: str, document: Mapping[str, Any]) -> None:
        """Keep a pair's result."""
        if self._path is None:
            return
        text = json.dumps({"key": key, "document": document}, separators=(",", ":"))
        with self._lock:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            with os.fdopen(os.open(self._path, flags, 0o600), "w", encoding="utf-8") as file:
                file.write(text + "\n")


def run(
    sources: Sequence[Address],
    destinations: Sequence[Address],
    options: Options,
    *,
    connect: Callable[[Address], Connection],
    confirm: Confirm | None,
    told: Told,
    done: Done,
    jobs: int,
    results: Results,
) -> FleetResult:
    """Put every guest of *sources* to every one of *destinations*.

    :param connect: makes a connection that is not open yet.
    :raise HostError: when no host can be reached; what fails of a guest or pair is in the result.
    """
    with contextlib.ExitStack() as stack:
        hosts: dict[object, Connection] = {}
        for address in (*sources, *destinations):
            hosts.setdefault(address.key, connect(address))
        unreachable = _open(list(hosts.values()), stack)
        if len(unreachable) == len(hosts):
            raise HostError("; ".join(unreachable.values()))
        guests = list(_guests(sources, hosts, unreachable))
        if confirm is not None and options.pause:
            names = ", ".join(f"{guest.source.name}/{guest.name}" for guest in guests[:12])
            if not confirm(
                f"Pause {len(guests)} guests ({names}{' …' if len(guests) > 12 else ''}) for some "
                "milliseconds each, one after another?"
            ):
                raise HostError("not confirmed; the guests were not touched")
        columns = list({address.key: hosts[address.key] for address in destinations}.values())
        fleet = _Fleet(
            guests, columns, unreachable, options, told, done, results, confirm is not None
        )
        return fleet.run(jobs)


def _open(hosts: Sequence[Connection], stack: contextlib.ExitStack) -> dict[Connection, str]:
    """Connect to all at once; those that cannot be reached, with the reason."""
    with ThreadPoolExecutor(max(1, min(16, len(hosts)))) as pool:
        futures = {host: pool.submit(host.__enter__) for host in hosts}
        for host in hosts:
            stack.callback(host.close)
        failed = {host: future.exception() for host, future in futures.items()}
    for error in failed.values():
        if error is not None and not isinstance(error, MigratableError):
            raise error
    return {host: str(error) for host, error in failed.items() if error is not None}


def _guests(
    sources: Sequence[Address],
    hosts: Mapping[object, Connection],
    unreachable: Mapping[Connection, str],
) -> Iterator[_Guest]:
    seen: set[tuple[object, str]] = set()
    for address in sources:
        host = hosts[address.key]
        if host in unreachable:
            name = address.guest or "every guest"
            yield _Guest(name=name, source=host, failure=unreachable[host])
            continue
        if address.guest:
            listed = [{"name": address.guest, "problem": ""}]
        else:
            listed = host.request("guests", uri=address.uri)
        for one in listed:
            name = one["name"] or one.get("qmp") or f"process {one.get('pid')}"
            if (address.key, name) in seen:
                continue
            seen.add((address.key, name))
            yield _Guest(name=name, source=host, failure=one["problem"])


class _Fleet:
    def __init__(
        self,
        guests: Sequence[_Guest],
        columns: Sequence[Connection],
        unreachable: Mapping[Connection, str],
        options: Options,
        told: Told,
        done: Done,
        results: Results,
        may_pause: bool,
    ) -> None:
        self._guests = guests
        self._columns = columns
        self._unreachable = unreachable
        self._options = options
        self._told = told
        self._done = done
        self._results = results
        self._may_pause = may_pause
        self._lock = threading.Lock()
        self._equal: dict[object, Future[Mapping[str, Any]]] = {}
        self._count = 0
        self._rehearsed = 0
        self._pairs: list[Mapping[str, Any]] = []
        self._failures: list[str] = []

    def run(self, jobs: int) -> FleetResult:
        answers = Answers()
        rows: list[list[Future[Answer]]] = []
        with ThreadPoolExecutor(jobs) as pool, ThreadPoolExecutor(1) as capturing:
            for guest in self._guests:
                # Only one guest at a time is paused.
                state = capturing.submit(self._take, guest)
                rows.append([pool.submit(self._answer, guest, state, to) for to in self._columns])
            table = [[one.result() for one in row] for row in rows]
        from array import array  # noqa: PLC0415

        cells = array("I", (answers.add(answer) for row in table for answer in row))
        matrix = Matrix(
            title="preflight",
            vms=tuple(
                Line(name=guest.name, group=guest.source.name, facts=guest.facts)
                for guest in self._guests
            ),
            hosts=tuple(
                Line(name=column.name, facts=host_facts(column.name, self._pairs))
                for column in self._columns
            ),
            answers=tuple(answers.found),
            cells=cells,
            checked=self._rehearsed,
        )
        return FleetResult(
            matrix=matrix,
            pairs=tuple(self._pairs),
            failures=tuple(dict.fromkeys(self._failures)),
            rehearsed=self._rehearsed,
        )

    def _take(self, guest: _Guest) -> None:
        if guest.failure:
            head = (
                "" if guest.source in self._unreachable else f"{guest.source.name}/{guest.name}: "
            )
            self._failures.append(head + guest.failure)
            return
        try:
            agreed = (lambda words: True) if self._may_pause else None
            guest.taken = take(
                guest.source, guest.name, self._options, confirm=_agreed(agreed), told=self._told
            )
        except MigratableError as error:
            guest.failure = str(error)
            self._failures.append(str(error))
            return
        facts = guest.taken.facts
        guest.facts = {
            "source": guest.source.name,
            "machine": facts.get("machine"),
            "release": facts.get("release"),
            "ram": guest.taken.ram,
            **({} if self._options.pause else {"state": "at power-on"}),
        }

    def _answer(self, guest: _Guest, state: Future[None], to: Connection) -> Answer:
        state.result()
        try:
            return self._pair(guest, to)
        finally:
            with self._lock:
                self._count += 1
                total = len(self._guests) * len(self._columns)
                self._done("preflight", self._count, total)

    def _pair(self, guest: _Guest, to: Connection) -> Answer:
        if to is guest.source:
            return NO_PAIR
        if guest.taken is None:
            return Answer.failed(guest.failure)
        if to in self._unreachable:
            self._failures.append(self._unreachable[to])
            return Answer.failed(self._unreachable[to])
        key = f"{guest.source.name}/{guest.name}/{to.name}/{_digest(guest.taken.guest['argv'])}"
        kept = self._results.done.get(key)
        if kept is not None:
            self._pairs.append(kept)
            return Answer.of(verdict_of(kept))
        try:
            found = self._preflight(guest, guest.taken, to)
        except MigratableError as error:
            self._failures.append(str(error))
            return Answer.failed(str(error))
        self._pairs.append(found.to_json())
        self._results.put(key, found.to_json())
        return Answer.of(found.verdict)

    def _preflight(self, guest: _Guest, taken: Taken, to: Connection) -> Preflight:
        place = (guest.source.name, to.name, kind(taken))
        mine: Future[Mapping[str, Any]] = Future()
        with self._lock:
            first = self._equal.setdefault(place, mine)
        if first is not mine:
            with contextlib.suppress(MigratableError):
                arrived = first.result()
                return preflight(
                    guest.source, to, taken, self._options, told=self._told, arrived=arrived
                )
        try:
            found = preflight(guest.source, to, taken, self._options, told=self._told)
        except BaseException as error:
            if first is mine:
                mine.set_exception(error)
            raise
        self._rehearsed += 1
        if first is mine:
            mine.set_result(found.answers)
        return found


def host_facts(name: str, pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all of a host's answers say of it."""
    mine = [pair for pair in pairs if pair["destination"]["name"] == name]
    found: dict[str, Any] = {}
    for fact, values in (
        ("qemu", {one["there"]["destination"].get("qemu") for one in mine}),
        ("libvirt", {one["destination"]["libvirt"] for one in mine}),
        ("cpu", {one["destination"]["cpu"] for one in mine}),
        ("kernel", {one["destination"]["kernel"] for one in mine}),
    ):
        if len(values) == 1:
            found[fact] = values.pop()
    return {fact: value for fact, value in found.items() if value}


def _agreed(given: Confirm | None) -> Confirm | None:
    from migratable.hosts.preflight import agreed  # noqa: PLC0415 -- the one that asks nothing

    return None if given is None else agreed


def verdict_of(document: Mapping[str, Any]) -> Verdict:
    """A pair's result as one verdict."""
    from dataclasses import replace  # noqa: PLC0415

    there = from_json(document["there"])
    other = from_json({**document["there"], "findings": document["findings"]})
    findings: tuple[Finding, ...] = other.findings
    return replace(
        there,
        outcome=Outcome(document["outcome"]),
        findings=(*there.findings, *findings),
        unchecked=(*there.unchecked, *document["unchecked"]),
    )


def kind(taken: Taken) -> tuple[bytes, str]:
    """Equal for guests about which a host says the same."""
    return equivalence.shape(read(unbinary(taken.stream))), _digest(
        machine_words(taken.guest["argv"])
    )


def machine_words(argv: Sequence[str]) -> list[str]:
    """A command line without what differs between equal guests."""
    words: list[str] = []
    skip = False
    for word in argv:
        if skip:
            skip = False
            continue
        if word in _HOST_SIDE:
            skip = True
            continue
        words.append(_NAMES.sub(r"\g<key>\g<sign>*", word))
    return words


def _digest(words: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:16]
