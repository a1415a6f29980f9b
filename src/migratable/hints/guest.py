"""The machine that sent a stream: its devices, their addresses and identities."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from migratable.errors import StreamError
from migratable.facts import pci
from migratable.stream import Stream, virtio
from migratable.stream.fields import decode
from migratable.stream.model import Section
from migratable.stream.wire_format import WHOLE

_PCI = re.compile(
    r"(?P<root>[0-9a-f]{4}:[0-9a-f]{2}|pci@[0-9a-f]+)(?P<chain>(?::[0-9a-f]{2}\.[0-7])+)"
    r"(?P<inner>(?:/[^/]+)*?)/(?P<name>[^/]+)"
)
_EXPRESS = 0x10
_HAS_SLOT = 0x100
_SERIAL = 3


def place(idstr: str) -> tuple[str, tuple[str, ...], str, str] | None:
    """Split a PCI device's path: root bus, slots down from it, place below the device, name.

    ``0000:00:1c.0:00.0/1/usb-kbd`` is ``("0000:00", ("1c.0", "00.0"), "/1", "usb-kbd")``.
    Source: hw/pci/pci.c: pcibus_get_dev_path.
    """
    match = _PCI.fullmatch(idstr)
    if match is None:
        return None
    chain = tuple(match["chain"].removeprefix(":").split(":"))
    return match["root"], chain, match["inner"], match["name"]


@dataclass(slots=True, kw_only=True)
class PciDevice:
    """A PCI device of the guest.

    :ivar chain: slots from the root bus down, ``("1c.0", "00.0")``.
    :ivar names: of its own sections (``virtio-net``), in order.
    :ivar config: its configuration space as sent; empty when it was not found.
    :ivar blocks: its RAM blocks without the path, with their bytes (``vga.vram``).
    :ivar inner: sections below it: place (``/1``) and name.
    """

    root: str
    chain: tuple[str, ...]
    names: list[str] = field(default_factory=list)
    config: bytes = b""
    blocks: dict[str, int] = field(default_factory=dict)
    inner: list[tuple[str, str]] = field(default_factory=list)

    @property
    def path(self) -> str:
        """As idstrs begin."""
        return ":".join((self.root, *self.chain))

    @property
    def addr(self) -> str:
        """As ``addr=`` has it: ``0x1c``, ``0x1c.2``."""
        return slot_of(self.path)

    @property
    def pci_id(self) -> str:
        """``1af4:1000``, empty when it is not known."""
        return identity(self.config)

    def register(self, offset: int, width: int) -> int:
        """A little-endian register of the configuration space, 0 beyond what came."""
        return int.from_bytes(self.config[offset : offset + width], "little")

    @property
    def slot_number(self) -> int | None:
        """Physical slot number of a port: PCI Express slot capabilities, bits 19 to 31."""
        at = self.capability(_EXPRESS)
        if at is None or not self.register(at + 2, 2) & _HAS_SLOT:
            return None
        return self.register(at + 0x14, 4) >> 19

    @property
    def port_number(self) -> int | None:
        """A port's own number: PCI Express link capabilities, bits 24 to 31."""
        at = self.capability(_EXPRESS)
        return None if at is None else self.register(at + 0x0C, 4) >> 24

    @property
    def serial_number(self) -> bytes:
        """The device's serial number of PCI Express, eight bytes as the register has them."""
        if len(self.config) <= pci.EXTENDED_FROM:
            return b""
        for kind, at in pci.extended_capabilities(self.config):
            if kind == _SERIAL:
                return self.config[at + 4 : at + 12]
        return b""

    def capability(self, number: int) -> int | None:
        """Offset of a PCI capability."""
        if len(self.config) < 256:
            return None
        return next(
            (at for kind, at in virtio.pci_capabilities(self.config) if kind == number), None
        )


def slot_of(path: str) -> str:
    """The last slot of a path as ``addr=`` has it."""
    slot, _, function = path.rpartition(":")[2].partition(".")
    return f"{int(slot, 16):#x}" if function == "0" else f"{int(slot, 16):#x}.{function}"


def identity(config: bytes) -> str:
    """Vendor and device of a configuration space."""
    if len(config) < 4:
        return ""
    vendor, device = config[0:2][::-1].hex(), config[2:4][::-1].hex()
    return f"{vendor}:{device}"


@dataclass(slots=True)
class Guest:
    """The machine that sent a stream.

    :ivar pci: its PCI devices by path.
    :ivar names: instances of its sections that are no PCI device's, by idstr.
    """

    stream: Stream
    pci: dict[str, PciDevice] = field(default_factory=dict)
    names: dict[str, list[int]] = field(default_factory=dict)
    sections: dict[tuple[str, int], Section] = field(default_factory=dict)

    @classmethod
    def of(cls, stream: Stream) -> Guest:
        """Read a stream's sections and RAM blocks."""
        guest = cls(stream)
        for section in stream.sections:
            if section.kind not in WHOLE:
                continue
            guest.sections[section.idstr, section.instance_id] = section
            where = place(section.idstr)
            if where is None:
                guest.names.setdefault(section.idstr, []).append(section.instance_id)
                continue
            device = guest._device(where[0], where[1])
            if where[2]:
                device.inner.append((where[2], where[3]))
                continue
            device.names.append(where[3])
            device.config = device.config or pci_config(section)
        for block in stream.ram_blocks:
            where = place(block.id)
            if where is not None and not where[2]:
                guest._device(where[0], where[1]).blocks[where[3]] = block.used_length
        return guest

    def _device(self, root: str, chain: tuple[str, ...]) -> PciDevice:
        device = PciDevice(root=root, chain=chain)
        return self.pci.setdefault(device.path, device)

    def at(self, idstr: str) -> PciDevice | None:
        """The PCI device to which a section or RAM block belongs."""
        where = place(idstr)
        return None if where is None else self.pci.get(":".join((where[0], *where[1])))

    def count(self, name: str) -> int:
        """How many instances of a section there are."""
        return len(self.names.get(name, ()))

    def number(self, idstr: str, *path: str) -> int | None:
        """A number in a section's fields, None when it is not there."""
        section = next(
            (section for (name, _), section in self.sections.items() if name == idstr), None
        )
        if section is None:
            return None
        try:
            value = decode(section).value(*path)
        except StreamError:
            return None
        return value if isinstance(value, int) else None


def pci_config(section: Section) -> bytes:
    """Configuration space of a device section: the first field ``config`` of such a size."""
    try:
        body = decode(section)
        for _, item in body.walk():
            if item.name == "virtio":
                return virtio_config(section)
            if item.type == "pci config" and isinstance(item.value, memoryview):
                return bytes(item.value)
    except StreamError:
        return b""
    return b""


def virtio_config(section: Section) -> bytes:
    """The same of a virtio device."""
    try:
        found = virtio.parse(section.body, idstr=section.idstr)
    except StreamError:
        return b""
    return b"" if found.pci_config is None else bytes(found.pci_config)
