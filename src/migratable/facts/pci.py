"""Registers of a PCI configuration space, by capability, and the layouts of QEMU's devices.

Names and places are those of PCI Local Bus 3.0, PCI-to-PCI Bridge 1.2 and PCI Express Base 5.0;
virtio's vendor capabilities are those of virtio 1.2, 4.1.4. ``pci_layouts.toml`` has the capability
lists of QEMU's own devices as releases start them; ``tools/write_pci_layouts.py`` writes it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

EXTENDED_FROM = 0x100
_MSI, _MSIX, _VENDOR, _EXPRESS = 0x05, 0x11, 0x09, 0x10

# offset -> (length, name)
Registers = dict[int, tuple[int, str]]

HEADER: Registers = {
    0x00: (2, "Vendor ID"),
    0x02: (2, "Device ID"),
    0x04: (2, "Command"),
    0x06: (2, "Status (bit 4: a capability list exists)"),
    0x08: (1, "Revision ID"),
    0x09: (3, "Class Code"),
    0x0C: (1, "Cache Line Size"),
    0x0D: (1, "Latency Timer"),
    0x0E: (1, "Header Type (bit 7: multifunction)"),
    0x0F: (1, "BIST"),
    0x34: (1, "Capabilities Pointer"),
    0x3C: (1, "Interrupt Line"),
    0x3D: (1, "Interrupt Pin"),
}
DEVICE: Registers = {
    **{0x10 + 4 * bar: (4, f"BAR {bar}") for bar in range(6)},
    0x28: (4, "CardBus CIS Pointer"),
    0x2C: (2, "Subsystem Vendor ID"),
    0x2E: (2, "Subsystem ID"),
    0x30: (4, "Expansion ROM Base Address"),
    0x3E: (1, "Min_Gnt"),
    0x3F: (1, "Max_Lat"),
}
BRIDGE: Registers = {
    0x10: (4, "BAR 0"),
    0x14: (4, "BAR 1"),
    0x18: (1, "Primary Bus Number"),
    0x19: (1, "Secondary Bus Number"),
    0x1A: (1, "Subordinate Bus Number"),
    0x1B: (1, "Secondary Latency Timer"),
    0x1C: (1, "I/O Base"),
    0x1D: (1, "I/O Limit"),
    0x1E: (2, "Secondary Status"),
    0x20: (2, "Memory Base"),
    0x22: (2, "Memory Limit"),
    0x24: (2, "Prefetchable Memory Base"),
    0x26: (2, "Prefetchable Memory Limit"),
    0x28: (4, "Prefetchable Base Upper 32 Bits"),
    0x2C: (4, "Prefetchable Limit Upper 32 Bits"),
    0x30: (4, "I/O Base and Limit Upper 16 Bits"),
    0x38: (4, "Expansion ROM Base Address"),
    0x3E: (2, "Bridge Control"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """A kind of capability.

    :ivar registers: by offset from the capability's first byte.
    """

    name: str
    registers: Registers


CAPABILITIES = {
    0x01: Capability(
        name="power management",
        registers={2: (2, "PM capabilities"), 4: (2, "PM control and status")},
    ),
    0x03: Capability(name="vital product data", registers={}),
    0x04: Capability(name="slot identification", registers={}),
    _MSI: Capability(name="MSI", registers={2: (2, "MSI control"), 4: (8, "MSI address and data")}),
    _VENDOR: Capability(
        name="vendor-specific",
        registers={
            2: (1, "length"),
            3: (1, "virtio structure type"),
            4: (1, "BAR of the virtio structure"),
            8: (4, "offset of the virtio structure in its BAR"),
            12: (4, "length of the virtio structure"),
            16: (4, "notify_off_multiplier"),
        },
    ),
    0x0C: Capability(name="hotplug (SHPC)", registers={}),
    0x0D: Capability(name="bridge subsystem", registers={4: (4, "bridge subsystem id")}),
    _EXPRESS: Capability(
        name="PCI Express",
        registers={
            2: (2, "PCIe capabilities"),
            4: (4, "device capabilities"),
            8: (2, "device control"),
            0x0A: (2, "device status"),
            0x0C: (4, "link capabilities"),
            0x10: (2, "link control"),
            0x12: (2, "link status"),
            0x14: (4, "slot capabilities"),
            0x18: (2, "slot control"),
            0x1A: (2, "slot status"),
            0x1C: (2, "root control"),
            0x1E: (2, "root capabilities"),
            0x20: (4, "root status"),
            0x24: (4, "device capabilities 2"),
            0x28: (2, "device control 2"),
            0x2C: (4, "link capabilities 2"),
            0x30: (2, "link control 2"),
            0x32: (2, "link status 2"),
        },
    ),
    _MSIX: Capability(
        name="MSI-X",
        registers={2: (2, "MSI-X table size"), 4: (4, "MSI-X table"), 8: (4, "MSI-X pending bits")},
    ),
    0x12: Capability(name="SATA", registers={}),
    0x13: Capability(name="advanced features", registers={}),
}
EXTENDED = {
    0x01: Capability(
        name="AER (advanced error reporting)",
        registers={
            4: (4, "uncorrectable error status"),
            8: (4, "uncorrectable error mask"),
            0x0C: (4, "uncorrectable error severity"),
            0x10: (4, "correctable error status"),
            0x14: (4, "correctable error mask"),
            0x18: (4, "AER capabilities and control"),
            0x1C: (16, "header log"),
            0x2C: (4, "root error command"),
            0x30: (4, "root error status"),
            0x34: (4, "error source"),
        },
    ),
    0x03: Capability(name="serial number", registers={4: (8, "serial number")}),
    0x0B: Capability(name="vendor-specific (extended)", registers={}),
    0x0D: Capability(
        name="ACS (access control services)",
        registers={4: (2, "ACS capabilities"), 6: (2, "ACS control")},
    ),
    0x0E: Capability(
        name="ARI (alternative routing)",
        registers={4: (2, "ARI capabilities"), 6: (2, "ARI control")},
    ),
    0x0F: Capability(
        name="ATS (address translation services)",
        registers={4: (2, "ATS capabilities"), 6: (2, "ATS control")},
    ),
    0x10: Capability(name="SR-IOV", registers={}),
    0x13: Capability(name="page request", registers={}),
    0x1B: Capability(name="process address space (PASID)", registers={}),
    0x23: Capability(name="designated vendor-specific (CXL)", registers={}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The register that holds a byte.

    :ivar kind: id of the capability, None in the header.
    :ivar at: where the capability begins.
    :ivar register: its name; "" when it has none here.
    :ivar byte: of that register, counted from its low end.
    """

    kind: int | None
    extended: bool
    at: int
    register: str
    byte: int

    @property
    def capability(self) -> str:
        """The capability's name, "" in the header."""
        if self.kind is None:
            return ""
        found = (EXTENDED if self.extended else CAPABILITIES).get(self.kind)
        return found.name if found else f"capability {self.kind:#x}"

    def __str__(self) -> str:
        byte = f", byte {self.byte}" if self.byte else ""
        if self.kind is None:
            return f"{self.register}{byte}"
        if self.register:
            return f"{self.register}{byte} ({self.capability} capability at {self.at:#x})"
        return f"{self.capability} capability at {self.at:#x}, byte {self.byte:#x}"


def in_header(offset: int, *, bridge: bool) -> Place | None:
    """The register of the first 64 bytes that holds *offset*, None for a reserved byte."""
    for table in (HEADER, BRIDGE if bridge else DEVICE):
        for start, (length, name) in table.items():
            if start <= offset < start + length:
                return Place(kind=None, extended=False, at=0, register=name, byte=offset - start)
    return None


def in_capability(offset: int, capabilities: list[tuple[int, int]]) -> Place | None:
    """The register of a capability that holds *offset*.

    :param capabilities: (kind, offset) of the list on *offset*'s side of 0x100.
    """
    before = [(at, kind) for kind, at in capabilities if at <= offset]
    if not before:
        return None
    at, kind = max(before)
    extended = offset >= EXTENDED_FROM
    known = (EXTENDED if extended else CAPABILITIES).get(kind)
    inside = offset - at
    header = (
        {0: (2, "id"), 2: (2, "version and next")} if extended else {0: (1, "id"), 1: (1, "next")}
    )
    for start, (length, name) in {**header, **(known.registers if known else {})}.items():
        if start <= inside < start + length:
            return Place(kind=kind, extended=extended, at=at, register=name, byte=inside - start)
    return Place(kind=kind, extended=extended, at=at, register="", byte=inside)


def extended_capabilities(config: bytes) -> Iterator[tuple[int, int]]:
    """Capabilities of the extended configuration space: id and offset, in list order."""
    at, seen = EXTENDED_FROM, set[int]()
    while EXTENDED_FROM <= at <= len(config) - 4 and at not in seen:
        seen.add(at)
        head = int.from_bytes(config[at : at + 4], "little")
        if not head & 0xFFFF:
            return
        yield head & 0xFFFF, at
        at = head >> 20


def meaning(place: Place, read: int, local: int) -> str:
    """What two values of a byte say about the device, "" where nothing is known.

    :param read, local: the byte in the stream and on the destination.
    """
    if place.kind is None:
        return ""
    if place.register in ("id", "next", "version and next"):
        return "the two sides have different capabilities, or have them at different places"
    if not place.extended and place.kind == _MSI and place.register == "MSI control":
        if place.byte == 0 and (read ^ local) & 0x0E:
            one, other = (1 << (value >> 1 & 7) for value in (read, local))
            return f"MSI vectors: source {one}, destination {other}"
        if place.byte == 0 and (read ^ local) & 0x80:
            return "64-bit MSI addresses: " + _sides(read >> 7 & 1, local >> 7 & 1)
        if place.byte == 1 and (read ^ local) & 1:
            return "masking of single MSI vectors: " + _sides(read & 1, local & 1)
    if not place.extended and place.kind == _MSIX and place.register == "MSI-X table size":
        if place.byte == 0:
            return f"MSI-X vectors: source {read + 1}, destination {local + 1}"
        return f"MSI-X vectors, high part: source {read & 7}, destination {local & 7} times 256"
    if place.register == "ATS capabilities" and not place.byte and (read ^ local) & 0x20:
        return "page aligned request: " + _sides(read >> 5 & 1, local >> 5 & 1)
    if place.register == "slot status" and (read ^ local) & 0x40:
        return "a card in the slot: " + _sides(read >> 6 & 1, local >> 6 & 1)
    return ""


def _sides(read: int, local: int) -> str:
    words = ("no", "yes")
    return f"source {words[read]}, destination {words[local]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where a device of QEMU has its capabilities.

    :ivar section: the section's name behind its address, such as ``xhci``.
    :ivar buses: ``PCI``, ``PCIe root complex`` (directly on pcie.0), ``PCIe`` (behind a port): many
        devices have another list on each.
    """

    section: str
    devices: tuple[str, ...]
    buses: tuple[str, ...]
    releases: tuple[str, ...]
    capabilities: tuple[tuple[int, int], ...]
    extended: tuple[tuple[int, int], ...]


@cache
def layouts() -> tuple[Layout, ...]:
    """The layouts of QEMU's devices."""
    text = Path(__file__).with_name("pci_layouts.toml").read_text("utf-8")
    return tuple(
        Layout(
            section=entry["section"],
            devices=tuple(entry["devices"]),
            buses=tuple(entry["buses"]),
            releases=tuple(entry["releases"]),
            capabilities=tuple((kind, at) for kind, at in entry.get("capabilities", ())),
            extended=tuple((kind, at) for kind, at in entry.get("extended", ())),
        )
        for entry in tomllib.loads(text)["layout"]
    )


def places(offset: int, section: str, release: str = "") -> dict[Place, tuple[Layout, ...]]:
    """What *offset* is in the devices that a section's name can mean, by place.

    :param section: the idstr, such as ``0000:00:03.0/xhci``; one that is behind a port has two
        numbers of slots, and "" stands for any device.
    :param release: ``major.minor``; layouts of that release alone when there are any.
    """
    path, _, short = section.rpartition("/")
    fitting = [layout for layout in layouts() if short in ("", layout.section)]
    if path:
        behind = len(re.findall(r"[0-9a-f]{2}\.[0-7]", path)) > 1
        on_its_bus = [layout for layout in fitting if ("PCIe" in layout.buses) is behind]
        fitting = on_its_bus or fitting
    if any(release in layout.releases for layout in fitting):
        fitting = [layout for layout in fitting if release in layout.releases]
    found: dict[Place, list[Layout]] = {}
    for layout in fitting:
        listed = layout.extended if offset >= EXTENDED_FROM else layout.capabilities
        place = in_capability(offset, list(listed))
        if place is not None:
            found.setdefault(place, []).append(layout)
    return {place: tuple(having) for place, having in found.items()}
