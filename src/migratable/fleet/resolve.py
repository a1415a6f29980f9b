"""Find the streams and profiles that a fleet names.

A failure to read one VM or one host is kept as the answer of its pairs, never lost and never an
answer about the guest; only mistakes of the fleet file end the run.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from migratable.check.cache import equivalence
from migratable.errors import CommandLineError, DestinationStartError, MigratableError
from migratable.fleet import destinations
from migratable.fleet.entities import Destination, Guest, Opener, Progress
from migratable.fleet.model import Fleet, Vm
from migratable.stream import read

if TYPE_CHECKING:
    from migratable.commandline import CommandLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A fleet with everything that a prediction needs.

    :ivar choice: for each VM and host (row by row) an index into :attr:`destinations`.
    """

    fleet: Fleet
    guests: tuple[Guest, ...]
    destinations: tuple[Destination, ...]
    choice: array[int]

    def destination(self, vm: int, host: int) -> Destination:
        """Which machine VM number *vm* meets on host number *host*."""
        return self.destinations[self.choice[vm * len(self.fleet.hosts) + host]]


def resolve(
    fleet: Fleet,
    *,
    opener: Opener | None = None,
    pause: bool = False,
    progress: Progress | None = None,
    workers: int = 2,
    timeout: float = 60.0,
) -> Resolved:
    """Read every stream and profile once, and start every different destination once.

    :param opener: in the place of :func:`migratable.capture.source.open_source`.
    :param pause: running VMs may be paused for their capture; without it none is.
    :param workers: QEMU programs that run at the same time.
    :raise MigratableError: only when nothing can be done at all.
    """
    if opener is None:
        from migratable.capture.source import open_source  # noqa: PLC0415 -- needs every format

        opener = partial(open_source, confirm=_agreed if pause else None)
    guests = _guests(fleet.vms, opener, progress, timeout)
    plan = destinations.Plan(guests=guests, hosts=fleet.hosts, timeout=timeout)
    found, choice = plan.run(progress=progress, workers=workers)
    return Resolved(fleet=fleet, guests=guests, destinations=found, choice=choice)


def _agreed(_: str) -> bool:
    return True


def _guests(
    vms: Sequence[Vm], opener: Opener, progress: Progress | None, timeout: float
) -> tuple[Guest, ...]:
    known: dict[tuple[object, ...], Guest] = {}
    key: tuple[object, ...]
    out = []
    for number, vm in enumerate(vms):
        if progress is not None:
            progress("reading VMs", number, len(vms))
        key = (vm.source, vm.command_line, vm.release)
        if not vm.source:
            key = ("", _words(vm), vm.release)
        if key not in known:
            known[key] = _guest(vm, opener, timeout)
        first = known[key]
        out.append(replace(first, vm=vm))
    return tuple(out)


def _words(vm: Vm) -> object:
    """What makes VMs that are started the same."""
    from migratable.commandline import parse  # noqa: PLC0415 -- not for streams alone

    try:
        return destinations.words_key(parse(vm.command_line, need_program=False).argv)
    except CommandLineError:
        return vm.command_line


def _guest(vm: Vm, opener: Opener, timeout: float) -> Guest:
    """One VM; every failure of ours is kept in it."""
    from migratable.commandline import parse  # noqa: PLC0415 -- not for streams alone

    line: CommandLine | None = None
    try:
        if vm.command_line:
            line = parse(vm.command_line, need_program=False)
        if not vm.source:
            return _started(vm, line, timeout)
        found = opener(vm.source)
    except CommandLineError as error:
        return Guest(vm=vm, failure=f"{vm.place}: command-line: {error}")
    except MigratableError as error:
        return Guest(vm=vm, line=line, failure=str(error))
    if line is None and found.profile is not None and found.profile.command_line:
        line = parse(found.profile.command_line, need_program=False)
    facts = dict(found.facts)
    return Guest(vm=vm, stream=found.stream, profile=found.profile, line=line, facts=facts)


def _started(vm: Vm, line: CommandLine | None, timeout: float) -> Guest:
    """Start the VM's machine and take the state that it has at power-on."""
    assert line is not None
    if not (line.program or vm.release):
        return Guest(
            vm=vm,
            line=line,
            failure=f"{vm.place}: command-line names no program; put one in front, or give release",
        )
    try:
        profile = destinations.collected(line, release=vm.release or None, timeout=timeout)
    except DestinationStartError as error:
        return Guest(vm=vm, line=line, failure=f"the VM's own machine does not start: {error}")
    if not profile.stream or profile.no_stream:
        why = profile.no_stream or "it has no stream"
        return Guest(vm=vm, line=line, failure=f"the machine refuses to save itself: {why}")
    return Guest(
        vm=vm,
        stream=read(profile.stream),
        profile=profile,
        line=line,
        facts={"kind": "command line", "release": str(profile.version)},
        at_power_on=True,
    )


def shapes(guests: Sequence[Guest]) -> list[equivalence.Shape | None]:
    """Shape of every guest, computed once for each stream; None without one."""
    known: dict[int, equivalence.Shape] = {}
    all_shapes = equivalence.Shapes()
    out: list[equivalence.Shape | None] = []
    for guest in guests:
        if guest.stream is None:
            out.append(None)
            continue
        at = id(guest.stream)
        if at not in known:
            known[at] = all_shapes.of(guest.stream)
        out.append(known[at])
    return out
