"""Compare QEMU releases: which machines and devices of each release load on the others.

A VM is made for every machine type, and for every device on the newest machine type that all
releases know; each is started and saved on every release that has it, and predicted for every
other, forward and backward. A pair is broken by a release when it is refused with it and loads with
the release before in its place.
"""

from __future__ import annotations

import fnmatch
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import Any

from migratable.check import check as predict
from migratable.check import not_started
from migratable.commandline import parse
from migratable.errors import DestinationStartError, MigratableError, PlanError
from migratable.fleet.cells import NO_PAIR, Answer, Answers, State
from migratable.fleet.destinations import collected
from migratable.fleet.entities import Progress
from migratable.fleet.matrix import Line, Matrix
from migratable.fleet.pairs import Check
from migratable.gate import recipes
from migratable.gate.programs import Device, Program, program
from migratable.members import plain
from migratable.printable import quoted
from migratable.profile.model import Profile
from migratable.qemu.start import inert_line
from migratable.releases import MachineType
from migratable.stream import Stream, read

CONTROL = "the same release (control)"
_REFUSES_TO_SAVE = "the machine refuses to save itself"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is compared.

    :ivar releases: oldest first; lab releases, programs, or NAME=PROGRAM.
    :ivar machines: ``all``, ``none``, or names with ``*``.
    :ivar devices: ``all``, ``none``, or names with ``*``.
    :ivar cross: each device on each of the machines, not on one.
    """

    releases: tuple[str, ...]
    machines: tuple[str, ...] = ("all",)
    devices: tuple[str, ...] = ("none",)
    arch: str = "x86_64"
    cross: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One representative VM, on one of several machine types (the first that starts it)."""

    name: str
    group: str
    machines: tuple[str, ...]
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A pair that a release broke.

    :ivar release: label of the release.
    :ivar vm: row, and :ivar host: column, of the pair.
    :ivar before: column of the pair with the release before in its place, which loads.
    """

    release: str
    vm: int
    host: int
    before: int
    message: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A matrix whose columns are pairs of releases, and what each release broke."""

    matrix: Matrix
    releases: tuple[str, ...]
    broken: tuple[Broken, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def exit_status(self) -> int:
        """1 when the last release broke something that the one before did not, else 0."""
        return int(any(broken.release == self.releases[-1] for broken in self.broken))

    def to_json(self) -> dict[str, Any]:
        """``migratable.matrix/1`` with a member ``releases``."""
        return {
            **self.matrix.to_json(),
            "releases": {
                "releases": list(self.releases),
                "broken_by_last": sum(
                    broken.release == self.releases[-1] for broken in self.broken
                ),
                "broken": plain(self.broken),
                "left_out": [{"name": name, "reason": why} for name, why in self.left_out],
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A row's VM on one release: a profile with its stream, or why there is none."""

    profile: Profile | None = None
    stream: Stream | None = None
    refused: tuple[str, ...] = ()
    failure: str = ""
    absent: bool = False

    @property
    def why(self) -> str:
        """Why there is no stream: the program's own words, or ours."""
        errors = [line for line in self.refused if not line.startswith("warning:")]
        return self.failure or next(iter(errors or self.refused), "")


@dataclass(slots=True, kw_only=True)
class _Work:
    programs: Sequence[Program]
    check: Check
    timeout: float
    lock: threading.Lock = field(default_factory=threading.Lock)

    def row(self, one: Row) -> tuple[list[Answer], str]:
        """Answers for all pairs of releases (row by row), and why there is none for any."""
        made: list[_Made] = []
        reasons: list[str] = []
        replaced = self._replaced(one)
        if replaced:
            return [NO_PAIR] * len(self.programs) ** 2, replaced
        for machine in one.machines:
            made = [self._make(at, machine, one.device) for at in self.programs]
            if any(found.stream is not None for found in made):
                break
            reasons += [found.why for found in reversed(made) if found.why]
        width = range(len(self.programs))
        answers = [self._pair(made[s], made[d]) for s in width for d in width]
        if any(found.stream is not None for found in made):
            return answers, ""
        return answers, next(iter(reasons), "no release has it")

    def _replaced(self, row: Row) -> str:
        """Why the device cannot be itself here: something of the host stands behind it."""
        at = next((at for at in self.programs if row.device in at.devices), None)
        if at is None:
            return ""
        line = parse([*at.command, *recipes.words(row.machines[0], at.devices[row.device])])
        try:
            quiet = inert_line(line, release=at.version)
        except MigratableError as error:
            return str(error)
        if any(word.split(",")[0] == row.device for word in quiet.plain_argv):
            return ""
        notes = [note for note in quiet.notes if row.device in note]
        return "; ".join(notes) or "it is not a part of an inert machine"

    def _make(self, at: Program, machine: str, device: str) -> _Made:
        version = MachineType.parse(machine).version
        if machine not in at.machines and version is not None and version > at.version.release:
            return _Made(absent=True)
        if device and device not in at.devices and device not in _all_devices(self.programs):
            return _Made(absent=True)
        line = parse([*at.command, *recipes.words(machine, _device(self.programs, at, device))])
        try:
            profile = collected(line, timeout=self.timeout, remember_refusals=True)
        except DestinationStartError as error:
            return _Made(refused=error.stderr or (str(error),))
        except MigratableError as error:
            return _Made(failure=str(error))
        if not profile.stream:
            return _Made(profile=profile, failure=f"{_REFUSES_TO_SAVE}: {profile.no_stream}")
        return _Made(profile=profile, stream=read(profile.stream))

    def _pair(self, source: _Made, destination: _Made) -> Answer:
        if source.stream is None or destination.absent:
            return NO_PAIR
        if destination.refused:
            return Answer.of(not_started(destination.refused, stream=source.stream))
        if destination.profile is None:
            return Answer.failed(destination.failure)
        try:
            with self.lock:  # one prediction at a time: it is Python, two take no less
                return Answer.of(self.check(source.stream, destination.profile))
        except MigratableError as error:
            return Answer.failed(str(error))


def compare(
    question: Question,
    *,
    check: Check | None = None,
    progress: Progress | None = None,
    workers: int = 2,
    timeout: float = 60.0,
) -> Comparison:
    """Compare releases.

    :param check: in the place of :func:`migratable.check.check`.
    :raise PlanError: When there is nothing to compare.
    :raise MigratableError: When a release cannot be had or asked.
    """
    if len(question.releases) < 2:
        raise PlanError("--releases: give two releases or more, the oldest first")
    if check is None:
        check = predict
    programs = [program(word, question.arch) for word in question.releases]
    labels = [one.label for one in programs]
    if len(set(labels)) < len(labels):
        raise PlanError(f"--releases: {' '.join(labels)}: one occurs twice; NAME=PROGRAM names it")
    wanted, left_out = rows(question, programs)
    work = _Work(programs=programs, check=check, timeout=timeout)
    found: dict[int, list[Answer]] = {}
    reasons: dict[int, str] = {}
    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        pending = {pool.submit(work.row, row): index for index, row in enumerate(wanted)}
        try:
            for number, future in enumerate(as_completed(pending), 1):
                at = pending[future]
                found[at], reasons[at] = future.result()
                if progress is not None:
                    progress("VMs", number, len(wanted))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    left_out += [(wanted[at].name, why) for at, why in sorted(reasons.items()) if why]
    there = [at for at in range(len(wanted)) if not reasons[at]]
    if not there:
        raise PlanError(
            "nothing to compare: "
            + ("; ".join(f"{name}: {why}" for name, why in left_out[:5]) or "no VM was asked for")
        )
    return _comparison(labels, [(wanted[at], found[at]) for at in there], left_out, question)


def _comparison(
    labels: Sequence[str],
    found: Sequence[tuple[Row, list[Answer]]],
    left_out: list[tuple[str, str]],
    question: Question,
) -> Comparison:
    size = len(labels)
    order = _columns(size)
    answers = Answers()
    cells = array("I")
    for _, row in found:
        cells.extend(answers.add(row[s * size + d]) for s, d in order)
    matrix = Matrix(
        title=f"QEMU {' '.join(labels)} ({question.arch})",
        vms=tuple(Line(name=row.name, group=row.group) for row, _ in found),
        hosts=tuple(
            Line(name=f"{labels[s]} → {labels[d]}", group=_direction(s, d)) for s, d in order
        ),
        answers=tuple(answers.found),
        cells=cells,
        checked=sum(answer.state is not State.NONE for _, row in found for answer in row),
    )
    broken = tuple(_broken(matrix, labels, order))
    return Comparison(
        matrix=matrix, releases=tuple(labels), broken=broken, left_out=tuple(left_out)
    )


def _columns(size: int) -> list[tuple[int, int]]:
    """Pairs of releases: forward, backward, then each with itself."""
    pairs = [(s, d) for s in range(size) for d in range(size)]
    return sorted(pairs, key=lambda pair: (pair[0] == pair[1], pair[0] > pair[1], pair))


def _direction(source: int, destination: int) -> str:
    if source == destination:
        return CONTROL
    return "forward" if source < destination else "backward"


def _broken(
    matrix: Matrix, labels: Sequence[str], order: Sequence[tuple[int, int]]
) -> Iterator[Broken]:
    """Refused pairs that load with the release before in the newer one's place (or in both)."""
    place = {pair: index for index, pair in enumerate(order)}
    loading = {State.LOADS, State.LATENT, State.WARNS, State.ENDANGERS}
    for vm in range(len(matrix.vms)):
        for (s, d), host in place.items():
            answer = matrix.answer(vm, host)
            if answer.state is not State.REFUSED or max(s, d) == 0:
                continue
            older = place[(s - (s >= d), d - (d >= s))]
            if matrix.answer(vm, older).state not in loading:
                continue
            verdict = answer.verdict
            assert verdict is not None
            first = verdict.first_refusal
            message = "" if first is None else first.message
            message = message or verdict.findings[0].summary
            yield Broken(release=labels[max(s, d)], vm=vm, host=host, before=older, message=message)


# -- which VMs ------------------------------------------------------------------------------------


def rows(
    question: Question, programs: Sequence[Program]
) -> tuple[list[Row], list[tuple[str, str]]]:
    """The VMs to make, and what is not made one, with the reason.

    :raise PlanError: When a name is in no release.
    """
    union = list(dict.fromkeys(name for one in reversed(programs) for name in one.machines))
    machines = _chosen(question.machines, union, "machine type")
    devices = _all_devices(programs)
    names = _chosen(question.devices, list(devices), "device")
    out = [] if question.cross else [_machine_row(name) for name in machines]
    left: list[tuple[str, str]] = []
    places = machines if question.cross or "all" not in question.machines else []
    shared = _shared(programs, places or union)
    if names and not shared:
        raise PlanError("--devices: no machine type is known to all of these releases")
    for name in names:
        why = recipes.left_out(devices[name])
        group = devices[name].category or "Uncategorized"
        if why:
            left.append((name, why))
        elif question.cross:
            out += [
                Row(name=f"{name} on {machine}", group=group, machines=(machine,), device=name)
                for machine in machines
            ]
        else:
            out.append(Row(name=name, group=group, machines=tuple(shared), device=name))
    return out, left


def _machine_row(name: str) -> Row:
    return Row(name=name, group=f"machine {MachineType.parse(name).family}", machines=(name,))


def _chosen(wanted: Sequence[str], there: Sequence[str], what: str) -> list[str]:
    if "all" in wanted:
        return list(there)
    found: dict[str, None] = {}
    for pattern in wanted:
        if pattern == "none":
            continue
        hits = fnmatch.filter(there, pattern)
        if not hits:
            near = [name for name in there if pattern.split("-")[0] in name][:8]
            raise PlanError(
                f"no release has the {what} {quoted(pattern)}"
                + (f"; there are {', '.join(near)} …" if near else "")
            )
        found.update(dict.fromkeys(hits))
    return list(found)


def _shared(programs: Sequence[Program], union: Sequence[str]) -> list[str]:
    """Machine types for devices: of each family the newest that all releases have.

    Newer kinds of machine first, as far as their names tell: q35 before i440fx. Where no type has
    a version (riscv64) they stand for themselves.
    """
    best: dict[str, MachineType] = {}
    types = [MachineType.parse(name) for name in union]
    everywhere = [
        machine_type
        for machine_type in types
        if all(machine_type.name in each.machines for each in programs)
    ]
    versioned = [machine_type for machine_type in everywhere if machine_type.version is not None]
    for parsed in versioned or everywhere:
        family = parsed.name if parsed.version is None else parsed.family
        known = best.get(family)
        if known is None or (known.version or (0, 0)) < (parsed.version or (0, 0)):
            best[family] = parsed
    rank: Callable[[str], tuple[bool, bool]] = lambda family: (  # noqa: E731
        "q35" not in family and "pseries" not in family and "virt" not in family,
        "i440fx" not in family,
    )
    return [best[family].name for family in sorted(best, key=rank)]


def _all_devices(programs: Sequence[Program]) -> dict[str, Device]:
    """Every device of any release, as the newest has it."""
    out: dict[str, Device] = {}
    for one in programs:
        out.update(one.devices)
    return out


def _device(programs: Sequence[Program], at: Program, name: str) -> Device | None:
    """A device with the properties of that release; of another where it has none of that name."""
    if not name:
        return None
    known = at.devices.get(name)
    return known if known is not None else replace(_all_devices(programs)[name])
