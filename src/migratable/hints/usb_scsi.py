"""Devices below a PCI device: USB devices at their ports, disks at their SCSI addresses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migratable.commandline import CommandLine
from migratable.hints import backends, line_edits
from migratable.hints.candidate import Candidate, Situation
from migratable.hints.guest import PciDevice
from migratable.hints.qtree import Node

_SCSI = re.compile(r"/(?P<channel>\d+):(?P<id>\d+):(?P<lun>\d+)")
_USB = re.compile(r"(?P<port>(?:/[\d.]+))(?P<rest>.*)")


def below(
    situation: Situation, device: PciDevice, node: Node, inner: str, name: str
) -> Iterator[Candidate]:
    """A device below a PCI device: moved there when the line has one elsewhere, else added."""
    del device
    scsi = _SCSI.fullmatch(inner)
    if scsi is not None:
        yield from _disk(situation, node, scsi)
        return
    match = _USB.fullmatch(inner)
    if match is None:
        return
    port = match["port"].removeprefix("/")
    if match["rest"]:  # a disk on usb-storage: the stick itself is missing or in another place
        name = "usb-storage"
    names = [
        driver
        for driver in situation.parts.drivers(name)
        if situation.parts.buses.get(driver) == "usb-bus"
    ]
    names.sort(key=lambda name: name != "usb-tablet")  # a mouse has the same section, and is rarer
    names += ["usb-storage"] if name == "usb-storage" else []
    bus = next((bus.name for bus in node.buses if "usb" in bus.kind), None)
    for option, driver, _ in situation.line.devices():
        if driver in names and bus is not None:
            new = option.fields.set("bus", bus).set("port", port)
            yield line_edits.changed(option, new, f"-device {driver} at bus={bus},port={port}")
    for driver in dict.fromkeys(names):
        text = driver + (f",bus={bus},port={port}" if bus else "")
        if driver in {"usb-storage", "usb-uas", "usb-bot"}:
            identity = f"usbdisk{port.replace('.', '-')}"
            if driver == "usb-storage":

                def edit(
                    line: CommandLine, text: str = text, identity: str = identity
                ) -> CommandLine:
                    line = line.append(
                        "drive", f"if=none,id={identity},format=raw,file={backends.DISK}"
                    )
                    return line.append("device", f"{text},drive={identity}")

                yield Candidate(action=f"-device {text},drive={identity}", edit=edit)
                continue
        if driver in {"usb-redir", "usb-serial", "usb-braille"}:
            yield _with_chardev(text, f"usbchar{port.replace('.', '-')}")
            continue
        yield line_edits.appended("device", text)


def _with_chardev(text: str, identity: str) -> Candidate:
    def edit(line: CommandLine) -> CommandLine:
        line = line.append("chardev", f"null,id={identity}")
        return line.append("device", f"{text},chardev={identity}")

    return Candidate(
        action=f"-chardev null,id={identity} -device {text},chardev={identity}", edit=edit
    )


def _disk(situation: Situation, node: Node, where: re.Match[str]) -> Iterator[Candidate]:
    bus = next(
        (bus.name for below in [node, *node.below()] for bus in below.buses if bus.kind == "SCSI"),
        None,
    )
    if bus is None:
        return
    members = f"channel={where['channel']},scsi-id={where['id']},lun={where['lun']}"
    for option, driver, _ in situation.line.devices():
        if driver in {"scsi-hd", "scsi-cd", "scsi-disk"}:
            new = option.fields.set("bus", bus).set("channel", where["channel"])
            new = new.set("scsi-id", where["id"]).set("lun", where["lun"])
            said = f"-device {option.fields.get('id') or driver} at {members}"
            yield line_edits.changed(option, new, said)
    identity = f"disk{where['channel']}-{where['id']}-{where['lun']}"

    def edit(line: CommandLine) -> CommandLine:
        line = line.append("drive", f"if=none,id={identity},format=raw,file={backends.DISK}")
        return line.append("device", f"scsi-hd,bus={bus},{members},drive={identity}")

    yield Candidate(action=f"-device scsi-hd,bus={bus},{members},drive={identity}", edit=edit)
