"""``-smp``: processors and threads, with QEMU's own error lines.

Source: ``hw/core/machine.c`` smp_parse (to 6.1), ``hw/core/machine-smp.c``
machine_parse_smp_config (6.2 on); lines measured on 5.2, 7.2, 10.0 and 11.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from migratable.printable import quoted
from migratable.pseries.build import Build, Machine
from migratable.pseries.values import NotModelledError, StartFailed, split_options

_KEYS = ("cpus", "sockets", "cores", "threads", "maxcpus")
_OTHER_KEYS = frozenset({"dies", "clusters", "modules", "books", "drawers"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Processors present, the most that can be, and threads of a core."""

    cpus: int = 1
    maxcpus: int = 1
    threads: int = 1
    warnings: tuple[str, ...] = ()


def read_smp(build: Build, text: str) -> dict[str, str]:
    """The members of one ``-smp`` option; the first may stand without its name, ``cpus``.

    :raise StartFailed: For an unknown member, where the option itself is checked (to 5.2).
    """
    members: dict[str, str] = {}
    for index, (key, value) in enumerate(split_options(text)):
        if value is None:
            if index:
                raise NotModelledError(f"-smp {text}: member {quoted(key)} without a value")
            key, value = "cpus", key  # noqa: PLW2901
        if key not in _KEYS:
            if key in _OTHER_KEYS:
                raise NotModelledError(f"-smp {text}: {key} is not part of the model")
            if build.has("keyval_machine"):
                members[key] = value
                continue
            raise StartFailed(f"-smp {text}: Invalid parameter '{key}'")
        members[key] = value
        if not build.has("keyval_machine") and not _is_number(value, members):
            raise StartFailed(f"-smp {text}: Parameter '{key}' expects a number")
    return members


def _is_number(value: str, members: dict[str, str]) -> bool:
    """Does QEMU read a number? Only plain ones are modelled, and a negative one that is alone.

    :raise NotModelledError: For other forms that QEMU takes: hexadecimal, octal, signs, blanks.
    """
    if re.fullmatch(r"0|[1-9][0-9]*", value):
        return True
    if re.fullmatch(r"-[1-9][0-9]*", value) and len(members) == 1:
        return True
    if re.match(r"\s*[-+]?[0-9]", value):
        raise NotModelledError(f"-smp: {quoted(value)} is a form of number that is not modelled")
    return False


def topology(build: Build, machine: Machine, members: dict[str, str]) -> Topology:
    """What the machine makes of the members.

    :raise StartFailed: With QEMU's line when the numbers do not fit together.
    """
    if not members:
        return Topology()
    for key, value in members.items():
        if key not in _KEYS:
            raise StartFailed(f"Parameter 'smp.{key}' is unexpected")
        if not _is_number(value, members):
            raise StartFailed(f"Parameter 'smp.{key}' expects integer")
    numbers = {key: int(value) for key, value in members.items()}
    found = _from_6_2(build, machine, numbers) if build.release >= (6, 2) else _up_to_6_1(numbers)
    most = 1024 if build.release <= (6, 1) else 4096
    if not 0 < found.maxcpus <= most:
        raise StartFailed(
            f"Invalid SMP CPUs {found.maxcpus}. The max CPUs supported by machine "
            f"'{machine.name}' is {most}"
        )
    return found


def _up_to_6_1(numbers: dict[str, int]) -> Topology:
    cpus, sockets, cores, threads = (numbers.get(key, 0) for key in _KEYS[:4])
    if cpus == 0 or sockets == 0:
        cores, threads = cores or 1, threads or 1
        if cpus == 0:
            sockets = sockets or 1
            cpus = cores * threads * sockets
        else:
            sockets = numbers.get("maxcpus", cpus) // (cores * threads)
    elif cores == 0:
        threads = threads or 1
        cores = cpus // (sockets * threads) or 1
    elif threads == 0:
        threads = cpus // (cores * sockets) or 1
    elif sockets * cores * threads < cpus:
        raise StartFailed(
            f"cpu topology: sockets ({sockets}) * cores ({cores}) * threads ({threads}) "
            f"< smp_cpus ({cpus})"
        )
    maxcpus = numbers.get("maxcpus", cpus)
    if maxcpus < cpus:
        raise StartFailed("maxcpus must be equal to or greater than smp")
    if maxcpus > 0 and sockets * cores * threads != maxcpus:
        raise StartFailed(
            f"Invalid CPU topology: sockets ({sockets}) * cores ({cores}) * threads ({threads}) "
            f"!= maxcpus ({maxcpus})"
        )
    return Topology(cpus=cpus, maxcpus=maxcpus, threads=threads)


def _from_6_2(build: Build, machine: Machine, numbers: dict[str, int]) -> Topology:
    warnings: tuple[str, ...] = ()
    if 0 in numbers.values():
        text = "CPU topology parameters must be greater than zero"
        # refused outright between 7.2 and 10.0; the release is not verified
        if build.release >= (9, 0):
            raise StartFailed(f"Invalid CPU topology: {text}")
        warnings = (f"warning: Deprecated CPU topology (considered invalid): {text}",)
    cpus, sockets, cores, threads, maxcpus = (numbers.get(key, 0) for key in _KEYS)
    if cpus == 0 and maxcpus == 0:
        sockets, cores, threads = sockets or 1, cores or 1, threads or 1
    else:
        maxcpus = maxcpus or cpus
        if machine.version <= (6, 1):  # smp_props.prefer_sockets
            if sockets == 0:
                cores, threads = cores or 1, threads or 1
                sockets = maxcpus // (cores * threads)
            elif cores == 0:
                threads = threads or 1
                cores = maxcpus // (sockets * threads)
        elif cores == 0:
            sockets, threads = sockets or 1, threads or 1
            cores = maxcpus // (sockets * threads)
        elif sockets == 0:
            threads = threads or 1
            sockets = maxcpus // (cores * threads)
        if threads == 0:
            threads = maxcpus // (sockets * cores)
    maxcpus = maxcpus or sockets * cores * threads
    cpus = cpus or maxcpus
    product = f"sockets ({sockets}) * cores ({cores}) * threads ({threads})"
    if maxcpus > 0 and sockets * cores * threads != maxcpus:
        raise StartFailed(
            *warnings,
            "Invalid CPU topology: product of the hierarchy must match maxcpus: "
            f"{product} != maxcpus ({maxcpus})",
        )
    if 0 < maxcpus < cpus:
        raise StartFailed(
            *warnings,
            "Invalid CPU topology: maxcpus must be equal to or greater than smp: "
            f"{product} == maxcpus ({maxcpus}) < smp_cpus ({cpus})",
        )
    return Topology(cpus=cpus, maxcpus=maxcpus, threads=threads, warnings=warnings)
