"""``migratable preflight``: can a guest move to another host, and come back?

Two hosts are asked at once (:class:`Connection`); only device state travels between them. Each step
is told while it runs and is in the result, ``migratable.preflight/1``.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from migratable import redact
from migratable.errors import CaptureError, HostError
from migratable.fleet.results import from_json
from migratable.hosts import way_back
from migratable.hosts.checks import Pair, compare
from migratable.hosts.connection import Connection
from migratable.hosts.needs import Needs, needs_of
from migratable.unchecked import Code, Unchecked, code_of
from migratable.verdict import Finding, Outcome, Severity, Verdict

SCHEMA = "migratable.preflight/1"
AT_POWER_ON = Unchecked(
    "changes by the guest's drivers: the guest was not paused, this is its machine's "
    "state at power-on",
    Code.AT_POWER_ON,
)

Told = Callable[[str, str], None]
"""Told the host and the step that begins."""
Confirm = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How it is done.

    :ivar pause: False: never pause the guest; a power-on state is used in its place.
    :ivar program: path of the destination's QEMU, in the place of the guest's own.
    :ivar copies_storage: the disks are copied along.
    :ivar back: try the way home too.
    :ivar untried: capture a guest too of which no copy could be made to save itself first.
    """

    pause: bool = True
    program: str = ""
    copies_storage: bool = False
    back: bool = True
    untried: bool = False
    hint_seconds: float = 4.0
    timeout: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A guest's state, taken once for all destinations.

    :ivar stream: base64, as hosts exchange it.
    """

    guest: Mapping[str, Any]
    needs: Needs
    stream: str = field(repr=False)
    facts: Mapping[str, Any]
    profile: Mapping[str, Any] = field(repr=False)
    capabilities: tuple[str, ...]
    unchecked: tuple[str, ...]
    seconds: Mapping[str, float]

    @property
    def ram(self) -> int:
        """Bytes of guest memory."""
        return sum(int(block[1]) for block in self.profile.get("ram_blocks", ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """The result for one guest and one host.

    :ivar there: the destination's verdict, None when it could not give one.
    :ivar back: the source's, about the state that the destination would hold.
    :ivar findings: of the host checks.
    """

    outcome: Outcome
    guest: str
    source: str
    destination: str
    there: Verdict | None
    back: Verdict | None
    findings: tuple[Finding, ...]
    unchecked: tuple[str, ...]
    document: Mapping[str, Any] = field(repr=False)
    answers: Mapping[str, Any] = field(repr=False)
    """What both hosts said, for guests that are equal to this one."""

    @property
    def verdict(self) -> Verdict:
        """All of it as one verdict, for pages and reports that have verdicts."""
        assert self.there is not None
        return replace(
            self.there,
            outcome=self.outcome,
            findings=(*self.there.findings, *self.findings),
            unchecked=(*self.there.unchecked, *self.unchecked),
        )

    def to_json(self) -> dict[str, Any]:
        """One object for a program."""
        return dict(self.document)


def take(
    source: Connection,
    name: str,
    options: Options,
    *,
    confirm: Confirm | None,
    told: Told,
) -> Taken:
    """Find a guest and take its state.

    :param confirm: asked before the guest is paused; None: it is not paused, and that is an error.
    :raise CaptureError: when it cannot be captured, or nobody agreed.
    :raise HostError: when the host fails.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "find"):
        told(source.name, "find the guest")
        guest = source.request("guest", name=name, uri=source.address.uri)
    with _timed(seconds, "capture"):
        if options.pause:
            if confirm is None:
                raise CaptureError(
                    f"{source.name}: {guest['name']}: capturing pauses this guest for some "
                    "milliseconds; add --yes, or --no-pause for its machine's power-on state"
                )
            told(source.name, "capture")
            if confirm is not agreed:
                words = source.request("question", guest=_short(guest), untried=options.untried)
                if not confirm(f"{source.name}: {words}"):
                    raise CaptureError(
                        f"{source.name}: {guest['name']}: not confirmed; the guest was not touched"
                    )
            found = source.request("capture", guest=_short(guest), untried=options.untried)
            unchecked = tuple(found["unchecked"])
        else:
            told(source.name, "power-on profile")
            found = source.request("power_on", guest=_short(guest), timeout=options.timeout)
            unchecked = (AT_POWER_ON, *found["unchecked"])
    return Taken(
        guest=guest,
        needs=needs_of(guest),
        stream=found["stream"],
        facts=found["facts"],
        profile=found["profile"],
        capabilities=tuple(found["capabilities"]),
        unchecked=unchecked,
        seconds=seconds,
    )


def agreed(words: str) -> bool:
    """``--yes``."""
    return True


def preflight(
    source: Connection,
    destination: Connection,
    taken: Taken,
    options: Options,
    *,
    told: Told,
    arrived: Mapping[str, Any] | None = None,
) -> Preflight:
    """Put a guest's state to a destination, and home again.

    :param arrived: the destination's and the source's answers for an equal guest, if any.
    :raise MigratableError: when a host fails in a way that leaves no answer.
    """
    seconds = dict(taken.seconds)
    with ThreadPoolExecutor(2) as pool:
        question = {**taken.needs.question(), "uri": source.address.uri, "program": ""}
        here = pool.submit(_looked, source, question)
        with _timed(seconds, "there"):
            first = (
                _there(destination, taken, options, told) if arrived is None else arrived["there"]
            )
        program = (first.get("command_line") or [""])[0] if taken.capabilities else ""
        question = {**question, "uri": destination.address.uri, "program": program}
        there = pool.submit(_looked, destination, question)
        back, no_way_back = None, ""
        if options.back and arrived is None:
            with _timed(seconds, "back"):
                ask = partial(_home, source, taken, first, options, told)
                back, no_way_back = way_back.of_the_move(first, ask)
                first = way_back.of_remedies(first, ask)
        elif arrived is not None:
            back, no_way_back = arrived["back"], arrived["no_way_back"]
        with _timed(seconds, "hosts"):
            told(destination.name, "compare hosts")
            (look_here, skew_here), (look_there, skew_there) = here.result(), there.result()
    pair = Pair(
        needs=taken.needs,
        source=look_here,
        destination=look_there,
        skew=skew_there - skew_here,
        ram=taken.ram,
        release=str(taken.facts.get("release", "")),
        arrived=first,
        back=back,
        no_way_back=no_way_back,
        capabilities=taken.capabilities,
        copies_storage=options.copies_storage,
    )
    findings, not_seen = compare(pair)
    return _result(
        source, destination, taken, pair, findings, (*taken.unchecked, *not_seen), seconds
    )


def _there(
    destination: Connection, taken: Taken, options: Options, told: Told
) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = destination.request(
        "destination",
        tell=lambda step: told(destination.name, step),
        stream=taken.stream,
        guest=_short(taken.guest),
        program=options.program,
        uri=destination.address.uri,
        origin=taken.profile,
        hint_seconds=options.hint_seconds,
        timeout=options.timeout,
        keep=options.back,
    )
    return answer


def _home(
    source: Connection,
    taken: Taken,
    first: Mapping[str, Any],
    options: Options,
    told: Told,
    stream: str,
) -> Mapping[str, Any]:
    """The way home: the source's answer to what the destination holds.

    :raise MigratableError: when it gives none.
    """
    answer: Mapping[str, Any] = source.request(
        "destination",
        tell=lambda step: told(source.name, f"back: {step}"),
        stream=stream,
        guest=_short(taken.guest),
        home=True,
        uri=source.address.uri,
        origin=first["profile"],
        hint_seconds=0.0,
        timeout=options.timeout,
    )
    return answer


def _looked(host: Connection, question: Mapping[str, Any]) -> tuple[Mapping[str, Any], float]:
    """What a host has, and by how much its clock is ahead of ours."""
    before = time.time()
    found = host.request("host", needs=question)
    missing = [path for path, _, _ in question["disks"] if path not in found["files"]]
    if missing:
        raise HostError(f"{host.name}: it did not look at {missing[0]}")
    return found, float(found["time"]) - (before + time.time()) / 2


def _short(guest: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in guest.items() if name != "xml"}


def _result(
    source: Connection,
    destination: Connection,
    taken: Taken,
    pair: Pair,
    findings: tuple[Finding, ...],
    unchecked: tuple[str, ...],
    seconds: Mapping[str, float],
) -> Preflight:
    first, back = pair.arrived, pair.back
    there = from_json(first["verdict"])
    outcome = there.outcome
    if any(finding.severity is Severity.REFUSES for finding in findings):
        outcome = Outcome.REFUSED
    if outcome is Outcome.LOADS and Code.AT_POWER_ON in map(code_of, unchecked):
        outcome = Outcome.UNKNOWN
    home = None if back is None else from_json(back["verdict"])
    guest = {name: taken.guest[name] for name in ("name", "kind", "pid")}
    found = redact.secrets(taken.guest["argv"]) | redact.secrets(first["command_line"])
    document = {
        "schema": SCHEMA,
        "outcome": str(outcome),
        "guest": {
            **guest,
            "host": source.name,
            "argv": list(redact.words(taken.guest["argv"])),
            "state": taken.facts,
            "ram_bytes": pair.ram,
        },
        "source": _host(source, pair.source),
        "destination": _host(destination, pair.destination),
        "command_line": {
            "from": first["command_line_from"],
            "argv": list(redact.words(first["command_line"])),
            "changes": [redact.without(text, found) for text in first["command_line_changes"]],
        },
        "predicted": first["predicted"],
        "there": first["verdict"],
        "back": None if back is None else back["verdict"],
        "no_way_back": pair.no_way_back or None,
        "findings": [finding.to_json() for finding in findings],
        "unchecked": list(unchecked),
        "steps": list(_steps(source, destination, seconds, first, back)),
    }
    return Preflight(
        outcome=outcome,
        guest=str(taken.guest["name"]),
        source=source.name,
        destination=destination.name,
        there=there,
        back=home,
        findings=findings,
        unchecked=unchecked,
        document=document,
        answers={"there": first, "back": back, "no_way_back": pair.no_way_back},
    )


def _host(host: Connection, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": host.name,
        "python": host.facts.get("python"),
        "kernel": facts["kernel"],
        "cpu": facts["cpu"]["model"],
        "kvm": not facts["kvm"]["why"],
        "libvirt": facts["libvirt"] or None,
        "memory_available": facts["memory"]["available"],
    }


def _steps(
    source: Connection,
    destination: Connection,
    seconds: Mapping[str, float],
    first: Mapping[str, Any],
    back: Mapping[str, Any] | None,
) -> Iterator[dict[str, Any]]:
    for name in ("find", "capture"):
        yield {"step": name, "host": source.name, "seconds": seconds[name]}
    for name, time_ in first["steps"].items():
        yield {"step": name, "host": destination.name, "seconds": time_}
    for name, time_ in () if back is None else back["steps"].items():
        yield {"step": f"back: {name}", "host": source.name, "seconds": time_}
    yield {"step": "hosts", "host": destination.name, "seconds": seconds["hosts"]}


@contextlib.contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    seconds[name] = round(time.monotonic() - began, 3)


def connected(hosts: list[Connection], stack: contextlib.ExitStack) -> None:
    """Connect to all at once; they are closed with *stack*.

    :raise HostError: when one cannot be reached.
    """
    with ThreadPoolExecutor(max(1, min(16, len(hosts)))) as pool:
        futures: list[Future[Connection]] = [pool.submit(host.__enter__) for host in hosts]
        for host in hosts:
            stack.callback(host.close)
        for future in futures:
            future.result()
