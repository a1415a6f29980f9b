"""Remedies of pseries machines: interrupt controllers, virtual devices, PCI host bridges."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migratable.commandline import CommandLine
from migratable.commandline.line import global_of
from migratable.hints import line_edits, machine_options
from migratable.hints.candidate import Candidate, Situation

_VIO = re.compile(
    r"(?P<kind>vty|nvram|l-lan|v-scsi)@(?P<reg>[0-9a-f]+)(?P<inner>(?:/.*)?)/(?P<name>.+)"
)
_DRIVERS = {
    "vty": "spapr-vty",
    "nvram": "spapr-nvram",
    "l-lan": "spapr-vlan",
    "v-scsi": "spapr-vscsi",
}


def controllers(situation: Situation) -> Iterator[Candidate]:
    """``ic-mode`` by which controllers the stream has."""
    xics = situation.guest.count("ics") > 0
    xive = situation.guest.count("spapr-xive") > 0
    if not (xics or xive) or not situation.pseries:
        return
    mode = "dual" if xics and xive else "xics" if xics else "xive"
    for one in dict.fromkeys((mode, "dual")):
        yield line_edits.machine("ic-mode", one)
    if situation.line.get("machine", "ic-mode") is not None:
        yield line_edits.machine("ic-mode", None)
    if situation.line.get("machine", "max-cpu-compat") is not None:
        yield line_edits.machine("max-cpu-compat", None)


def vio(situation: Situation, idstr: str) -> Iterator[Candidate]:
    """Virtual devices at the guest's addresses (``reg``); missing ones added."""
    found = _VIO.fullmatch(idstr)
    if found is None:
        return
    wanted: dict[str, list[int]] = {}
    for name in situation.guest.names:
        match = _VIO.fullmatch(name)
        if match is not None and not match["inner"]:
            wanted.setdefault(_DRIVERS[match["kind"]], []).append(int(match["reg"], 16))
    if found["inner"]:  # a disk on a v-scsi
        return
    here = (
        {handler.idstr for handler in situation.profile.loader.handlers}
        if situation.profile and situation.profile.loader
        else set()
    )
    if any(name.startswith("nvram@") for name in here & situation.guest.names.keys()):
        wanted.pop("spapr-nvram", None)  # it is where the guest has it
    for option in situation.line.all("global"):
        driver, name, _ = global_of(option)
        if name == "reg" and driver == _DRIVERS[found["kind"]]:
            yield line_edits.removed(option, f"-global {option.value}")
    yield Candidate(
        action="virtual devices at the guest's addresses: "
        + ", ".join(f"{d} reg={r:#x}" for d, regs in wanted.items() for r in regs),
        edit=lambda line: _placed(line, wanted),
    )
    yield from machine_options.defaults(situation)
    yield from machine_options.without(situation, "serial")
    yield Candidate(
        action="-serial none",
        edit=lambda line: machine_options.drop(line, "serial").append("serial", "none"),
    )
    if found["kind"] == "vty":
        count = len(wanted.get("spapr-vty", ()))

        def serials(line: CommandLine) -> CommandLine:
            line = machine_options.drop(line, "serial")
            for _ in range(count):
                line = line.append("serial", "null")
            return line

        yield Candidate(
            action="-serial null" + (f" ({count} times)" if count > 1 else ""), edit=serials
        )
    driver, reg = _DRIVERS[found["kind"]], int(found["reg"], 16)
    yield Candidate(
        action=f"-global {driver}.reg={reg:#x}",
        edit=lambda line: line.with_global(driver, "reg", f"{reg:#x}"),
    )
    yield Candidate(
        action=f"-device {driver},reg={reg:#x}",
        edit=lambda line: _added(line, driver, reg),
    )


def _added(line: CommandLine, driver: str, reg: int) -> CommandLine:
    text = f"{driver},reg={reg:#x}"
    if driver == "spapr-vty":
        line = line.append("chardev", f"null,id=vty{reg:x}")
        text += f",chardev=vty{reg:x}"
    if driver == "spapr-vlan":
        line = line.append("netdev", f"user,id=lan{reg:x}")
        text += f",netdev=lan{reg:x}"
    return line.append("device", text)


def _placed(line: CommandLine, wanted: dict[str, list[int]]) -> CommandLine:
    for driver, regs in wanted.items():
        left = sorted(regs)
        options = [one for one, name, _ in line.devices() if name == driver]
        for option in options:
            if not left:
                line = line.replace(option)
                continue
            fields = option.fields.set("reg", f"{left.pop(0):#x}")
            line = line.replace(option, option.with_fields(fields))
        for reg in left if driver != "spapr-nvram" else ():
            line = _added(line, driver, reg)
        if driver == "spapr-nvram" and left:
            line = line.with_global(driver, "reg", f"{left[0]:#x}")
    return line


def host_bridges(situation: Situation) -> Iterator[Candidate]:
    """A PCI host bridge for each of the guest's."""
    indexes = [one for one in situation.guest.names.get("spapr_pci", ()) if one]
    have = {
        option.fields.get("index")
        for option, name, _ in situation.line.devices()
        if name == "spapr-pci-host-bridge"
    }
    missing = [index for index in indexes if str(index) not in have]
    if not missing:
        return

    def edit(line: CommandLine) -> CommandLine:
        for index in missing:
            line = line.append("device", f"spapr-pci-host-bridge,index={index}")
        return line

    said = " ".join(f"-device spapr-pci-host-bridge,index={one}" for one in missing)
    yield Candidate(action=said, edit=edit)
