"""A guest's needs from its host, besides a QEMU that loads it: from command line and XML."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from xml.etree import ElementTree as ET

from migratable.commandline import CommandLine
from migratable.errors import CommandLineError
from migratable.hosts.guests import line_of

_MOST_XML = 4 << 20
_FILE_DRIVERS = frozenset({"file", "host_device", "host_cdrom", ""})
_HOST_DEVICES = re.compile(r"vfio-.*|usb-host|scsi-generic|scsi-block|ivshmem.*|vhost-vsock-.*")
_VHOST_USER = re.compile(r"vhost-user.*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What is looked at on both hosts.

    :ivar disks: path, format (``raw``, ``qcow2``, or empty) and role (``disk``, ``firmware``,
        ``boot``) of each file or block device.
    :ivar bridges: of the host, and interfaces that a macvtap sits on.
    :ivar networks: of libvirt.
    :ivar sockets: that another program must serve (vhost-user, virtiofs).
    :ivar host_devices: parts of this host that the guest has, in words.
    :ivar tpm: version of an emulated TPM, empty without one.
    :ivar hugepages: folder of huge pages, empty without.
    :ivar host_cpu: does the guest's CPU model mean the host's own?
    """

    disks: tuple[tuple[str, str, str], ...] = ()
    bridges: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    sockets: tuple[str, ...] = ()
    host_devices: tuple[str, ...] = ()
    tpm: str = ""
    hugepages: str = ""
    kvm: bool = False
    host_cpu: bool = False
    libvirt: bool = False
    unread: str = ""

    def question(self) -> dict[str, Any]:
        """As :func:`migratable.hosts.looks.look` takes it."""
        return asdict(self)


def needs_of(guest: Mapping[str, Any]) -> Needs:
    """From a guest's definition, as :func:`migratable.hosts.guests.definition` gives it."""
    xml = _xml(guest.get("xml"))
    bridges, networks = _interfaces(xml)
    try:
        line = line_of(list(guest["argv"])) if guest["argv"] else None
    except CommandLineError as error:
        return Needs(unread=f"its command line: {error}", libvirt=guest["kind"] == "libvirt")
    if line is None:
        return Needs(
            bridges=bridges,
            networks=networks,
            libvirt=guest["kind"] == "libvirt",
            unread="its command line, which this user may not read",
        )
    bridges = tuple(dict.fromkeys([*bridges, *_bridges(line)]))
    model = (line.cpu or "").partition(",")[0]
    return Needs(
        disks=tuple(dict.fromkeys(_files(line))),
        bridges=bridges,
        networks=networks,
        sockets=tuple(dict.fromkeys(_sockets(line))),
        host_devices=tuple(_host_devices(line)),
        tpm=_tpm(line, xml),
        hugepages=_hugepages(line),
        kvm=line.wants_kvm,
        host_cpu=model in {"host", "max"} or (xml is not None and _host_mode(xml)),
        libvirt=guest["kind"] == "libvirt",
    )


def _xml(text: object) -> ET.Element | None:
    if not isinstance(text, str) or len(text) > _MOST_XML or "<!DOCTYPE" in text:
        return None
    try:
        return ET.fromstring(text)  # noqa: S314 -- no document type, so no entities
    except ET.ParseError:
        return None


def _host_mode(xml: ET.Element) -> bool:
    cpu = xml.find("cpu")
    return cpu is not None and cpu.get("mode") in {"host-passthrough", "maximum"}


def _interfaces(xml: ET.Element | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    bridges: list[str] = []
    networks: list[str] = []
    for source in () if xml is None else xml.findall("devices/interface/source"):
        if source.get("network"):
            networks.append(source.get("network", ""))
        elif source.get("bridge") or source.get("dev"):
            bridges.append(source.get("bridge") or source.get("dev") or "")
    return tuple(dict.fromkeys(bridges)), tuple(dict.fromkeys(networks))


def _files(line: CommandLine) -> Iterator[tuple[str, str, str]]:
    pflash = {
        value for key in ("pflash0", "pflash1") if (value := line.get("machine", key)) is not None
    }
    formats: dict[str | None, str] = {
        fields.get("file"): fields.get("driver") or ""
        for option in line.all("blockdev")
        if (fields := option.fields).get("file")
    }
    above = {
        fields.get("file"): fields.get("node-name")
        for option in line.all("blockdev")
        if (fields := option.fields).get("file")
    }
    for option in line.all("blockdev"):
        fields = option.fields
        path = fields.get("filename") or fields.get("file.filename")
        node = fields.get("node-name")
        driver = fields.get("driver") or ""
        if not path or (fields.get("file.driver") or driver) not in {*_FILE_DRIVERS, driver}:
            continue
        role = "firmware" if {node, above.get(node)} & pflash else "disk"
        shape = formats.get(node, "raw") if driver in _FILE_DRIVERS else driver
        yield path, shape, role
    for option in line.all("drive"):
        fields = option.fields
        path = fields.get("file") or fields.get("file.filename")
        if path and _is_file(path):
            role = "firmware" if fields.get("if") == "pflash" else "disk"
            yield path.removeprefix("file:"), fields.get("format") or "", role
    for name in ("hda", "hdb", "hdc", "hdd", "cdrom", "fda", "sd", "pflash"):
        for option in line.all(name):
            if option.value and _is_file(option.value):
                yield option.value, "", "firmware" if name == "pflash" else "disk"
    for name in ("bios", "kernel", "initrd", "dtb"):
        for option in line.all(name):
            if option.value and "/" in option.value:
                yield option.value, "", "firmware" if name == "bios" else "boot"


def _is_file(path: str) -> bool:
    head = path.partition(":")[0]
    return "/" in head or ":" not in path or head == "file"


def _bridges(line: CommandLine) -> Iterator[str]:
    for name in ("netdev", "nic", "net"):
        for option in line.all(name):
            fields = option.fields
            if fields.get("type") == "bridge":
                yield fields.get("br") or "br0"
            elif fields.get("type") == "tap" and fields.get("br"):
                yield fields.get("br") or ""


def _sockets(line: CommandLine) -> Iterator[str]:
    wanted = {
        option.fields.get("chardev")
        for option in line.all("netdev")
        if _VHOST_USER.fullmatch(option.fields.get("type") or "")
    }
    wanted |= {
        option.fields.get("chardev")
        for option, driver, _ in line.devices()
        if _VHOST_USER.fullmatch(driver)
    }
    for option in line.all("chardev"):
        fields = option.fields
        path = fields.get("path")
        if path and fields.get("id") in wanted and fields.get("server") not in {"on", "yes"}:
            yield path


def _host_devices(line: CommandLine) -> Iterator[str]:
    for option, driver, _ in line.devices():
        if _HOST_DEVICES.fullmatch(driver):
            fields = option.fields
            place = fields.get("host") or fields.get("sysfsdev") or fields.get("hostdevice")
            yield f"{driver} {place}" if place else driver


def _tpm(line: CommandLine, xml: ET.Element | None) -> str:
    if not any(option.fields.get("type") == "emulator" for option in line.all("tpmdev")):
        return ""
    backend = None if xml is None else xml.find("devices/tpm/backend")
    return (None if backend is None else backend.get("version")) or "unknown"


def _hugepages(line: CommandLine) -> str:
    paths = [option.value or "" for option in line.all("mem-path")]
    paths += [option.fields.get("mem-path") or "" for option in line.all("object")]
    return next((path for path in paths if "huge" in path), "")
