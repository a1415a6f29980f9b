"""hw/acpi: what CPU hotplug's ``pre_load`` sets up before its table is read."""

from __future__ import annotations

import itertools

from migratable.check.devices import prepares
from migratable.check.state import LoadedState, Memory
from migratable.profile.model import Profile


@prepares("piix4_pm/cpuhp", "ich9_pm/cpuhp")
def modern_cpu_hotplug(body: LoadedState, memory: Memory, profile: Profile) -> None:
    """vmstate_cpuhp_pre_load: switch to the modern registers, a row for each possible CPU.

    A destination that has not run still has the legacy registers, and so no rows.
    """
    if profile.loader is None:
        return
    for item in body.vmsd.fields:
        if item.vmsd is None:
            continue
        for inner in profile.loader.vmsds[item.vmsd].fields:
            if inner.counter is None:
                continue
            offset, width = inner.counter
            address = body.opaque + item.offset + offset
            if not memory.get(address, width):
                memory.set(address, width, possible_cpus(profile.command_line))
                rows = memory.allocate(inner.size * possible_cpus(profile.command_line))
                memory.set(body.opaque + item.offset + inner.offset, 8, rows)


def possible_cpus(command_line: tuple[str, ...]) -> int:
    """How many CPUs a machine can have, by its ``-smp`` (hw/core/machine-smp.c: 6.2 to 11.1)."""
    given: dict[str, str] = {}
    for option, value in itertools.pairwise(command_line):
        if option in {"-smp", "--smp"}:
            first, *rest = value.split(",")
            words = [first if "=" in first else f"cpus={first}", *rest]
            pairs = (word.partition("=") for word in words if "=" in word)
            given.update((key, value) for key, _, value in pairs)
    if "maxcpus" in given:
        return _number(given["maxcpus"])
    topology = 1
    for key in ("drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads"):
        topology *= _number(given.get(key, "1"))
    return max(_number(given.get("cpus", "1")), topology)


def _number(text: str) -> int:
    try:
        return max(int(text, 0), 1)
    except ValueError:
        return 1
