"""CPUs that were plugged into the running guest: given at the start, each at its own place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migratable.commandline import CommandLine
from migratable.errors import MigratableError
from migratable.hints import line_edits, machine_options
from migratable.hints.candidate import Candidate, Situation
from migratable.qemu.start import inert_start


def candidates(situation: Situation) -> Iterator[Candidate]:
    """``-smp`` with the first CPUs, and ``-device`` for the others in the order of the stream.

    The order counts: instances of pseries' ``xive-tctx`` are numbered as CPUs come.
    ``cpu_common``'s instance is the CPU's index (``cpu-target.c: cpu_exec_realizefn``): on x86 its
    number among the possible CPUs (``hw/i386/x86-common.c: x86_cpu_pre_plug``), on pseries its
    core's id (``hw/ppc/spapr_cpu_core.c: spapr_create_vcpu``).
    """
    indices = situation.guest.names.get("cpu_common", [])
    first = next((n for n, index in enumerate(indices) if n != index), len(indices))
    behind = indices[first:]
    if not behind or not first:
        return
    least = max(indices) + 1
    limits = [one for one in machine_options.limit_of(situation) if one >= least]
    for most in dict.fromkeys([*limits, *_limits(situation, least)]):
        smp = _smp(situation, first, most)
        bare = line_edits.with_option(_without(situation.line), "smp", smp)
        places = _places(situation, bare)
        if not all(index in places for index in behind):
            continue
        devices = [places[index] for index in behind]
        said = " ".join([f"-smp {smp}", *(f"-device {device}" for device in devices)])

        def edit(line: CommandLine, smp: str = smp, devices: list[str] = devices) -> CommandLine:
            line = line_edits.with_option(_without(line), "smp", smp)
            for one in devices:
                line = line.append("device", one)
            return line

        yield Candidate(action=said, edit=edit, sole=True)


def _limits(situation: Situation, least: int) -> Iterator[int]:
    given = situation.line.get("smp", "maxcpus") or ""
    if given.isdigit() and int(given) >= least:
        yield int(given)
    yield from (one for one in (least, 4, 8, 16, 32) if one >= least)


def _smp(situation: Situation, count: int, most: int) -> str:
    """The line's own topology where it has the same limit; else a socket for each CPU."""
    if situation.line.get("smp", "maxcpus") == str(most):
        fields = list(situation.line.all("smp"))[-1].fields
        return fields.set("cpus", str(count)).text()
    if situation.pseries:
        return f"{count},maxcpus={most}"
    return f"{count},sockets={most},cores=1,threads=1,maxcpus={most}"


def _without(line: CommandLine) -> CommandLine:
    """The line without CPUs that it plugs itself."""
    for option, driver, _ in list(line.devices()):
        if driver.endswith(("-cpu", "-cpu-core")):
            line = line.replace(option)
    return line


def _places(situation: Situation, line: CommandLine) -> dict[int, str]:
    """``-device`` for each possible CPU that is not there, by index; empty when none starts."""
    try:
        with (
            inert_start(line, release=situation.release) as start,
            start.process(timeout=situation.timeout) as qemu,
        ):
            found: Any = qemu.qmp("query-hotpluggable-cpus")
    except MigratableError:
        return {}
    found = sorted(found, key=lambda one: _order(one["props"]))
    out: dict[int, str] = {}
    for number, one in enumerate(found):
        if "qom-path" in one:
            continue
        index = int(one["props"]["core-id"]) if situation.pseries else number
        members = [f"{key}={value}" for key, value in one["props"].items() if key != "node-id"]
        out[index] = ",".join([one["type"], *members])
    return out


_LEVELS = ("drawer-id", "book-id", "socket-id", "die-id", "module-id", "cluster-id")


def _order(props: dict[str, int]) -> tuple[int, ...]:
    """Outermost first, as possible CPUs are numbered (``x86_cpu_apic_id_from_index``)."""
    return tuple(int(props.get(key, 0)) for key in (*_LEVELS, "core-id", "thread-id"))
