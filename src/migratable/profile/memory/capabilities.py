"""A pseries machine's capabilities, which no QMP command shows whole.

``SpaprMachineState`` (include/hw/ppc/spapr.h) ends with ::

    bool cmd_line_caps[SPAPR_CAP_NUM];
    SpaprCapabilities def, eff, mig;        /* uint8_t caps[SPAPR_CAP_NUM] each */

The tables say where ``mig`` is (the field of ``spapr/cap/htm``, whose number is 0), and the machine
has as many properties ``cap-*`` as there are capabilities; the other three lie before it. Measured
with 5.2, 7.2, 10.0 and 11.1; a build in which they do not is recognised, for what was not given on
the command line has its default.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from migratable.profile.memory.process import ProcessMemory
from migratable.profile.tables import Handler, MachineCapability, Vmsd

_PREFIX = "spapr/cap/"
_FIRST = "htm"


def read_capabilities(
    memory: ProcessMemory, handlers: Sequence[Handler], vmsds: Sequence[Vmsd], names: Sequence[str]
) -> tuple[MachineCapability, ...]:
    """Read them in the order of QEMU's table; none for another machine, or where they do not fit.

    :param names: of the machine's properties ``cap-*``, without ``cap-``.
    """
    machine = next((handler for handler in handlers if handler.idstr == "spapr"), None)
    if machine is None or machine.vmsd is None or not names:
        return ()
    offsets = {
        vmsds[index].name.removeprefix(_PREFIX): vmsds[index].fields[0].offset
        for index in vmsds[machine.vmsd].subsections
        if vmsds[index].name.startswith(_PREFIX) and vmsds[index].fields
    }
    count, first = len(names), offsets.get(_FIRST)
    if first is None or any(not 0 <= offset - first < count for offset in offsets.values()):
        return ()
    raw = memory.read(machine.opaque + first - 3 * count, 3 * count)
    if raw is None:
        return ()
    given, default, effective = raw[:count], raw[count : 2 * count], raw[2 * count :]
    if any(flag > 1 for flag in given) or any(
        not flag and level != usual
        for flag, level, usual in zip(given, effective, default, strict=True)
    ):
        return ()
    wires = {offset - first: wire for wire, offset in offsets.items()}
    ordered = _named([wires.get(index, "") for index in range(count)], names)
    return tuple(
        MachineCapability(name=name, wire=wires.get(index, ""), default=usual, effective=level)
        for index, (name, usual, level) in enumerate(zip(ordered, default, effective, strict=True))
    )


def _named(wires: Sequence[str], names: Sequence[str]) -> list[str]:
    """The property of each subsection: the same letters, else the first that is left over."""
    letters = {re.sub("[^a-z0-9]", "", name): name for name in names}
    found = [letters.pop(wire.replace("_", ""), "") for wire in wires]
    rest = iter(letters.values())
    return [name or next(rest) for name in found]
