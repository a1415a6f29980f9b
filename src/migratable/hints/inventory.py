"""Devices, section names and machine types of a destination's program."""

from __future__ import annotations

import contextlib
import json
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from migratable.errors import LabError, ProfileError
from migratable.lab import installed
from migratable.qemu import vmstate_dump
from migratable.qemu.launch import answers

_DEVICE = re.compile(r'^name "([^"]+)"(?:, bus ([^\s,]+))?(?:, alias "([^"]+)")?', re.M)
_PROPERTY = re.compile(
    r"^\s+(?:[\w-]+\.)?([\w.-]+)=<([\w<>-]+)>[^\n]*?(?:\(default: ([^)\n]*)\))?$", re.MULTILINE
)
_MACHINE = re.compile(r"^(\S+)\s", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """One program's parts.

    :ivar buses: bus of each device that a user may create, by driver.
    :ivar aliases: driver by alias.
    :ivar sections: section name of each device class that has one.
    :ivar machines: machine types.
    :ivar displays: devices under that heading.
    """

    buses: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)
    machines: tuple[str, ...] = ()
    displays: tuple[str, ...] = ()

    @property
    def silent_displays(self) -> list[str]:
        """Displays on PCI without a section of their own: only their memory shows them."""
        return [
            display
            for display in self.displays
            if self.buses.get(display) == "PCI" and display not in self.sections
        ]

    def drivers(self, section: str) -> list[str]:
        """Devices that a user may create and whose section has that name."""
        return [
            name for name, own in self.sections.items() if own == section and name in self.buses
        ]

    def virtio(self, section: str) -> list[str]:
        """Virtio devices on PCI whose section has that name.

        Sections have the name of the device, drivers that of its proxy; two names are other ones
        (hw/virtio/virtio-*-pci.c).
        """
        bases = {
            "virtio-console": ["virtio-serial"],
            "virtio-input": [
                "virtio-keyboard",
                "virtio-mouse",
                "virtio-tablet",
                "virtio-multitouch",
            ],
            "virtio-gpu": ["virtio-gpu", "virtio-vga"],
        }.get(section, [section])
        return [
            name
            for base in bases
            for suffix in ("-pci", "-pci-transitional", "-pci-non-transitional", "")
            if (name := f"{base}{suffix}") in self.buses and self.buses[name] == "PCI"
        ]


@cache
def properties_of(command: tuple[str, ...], driver: str) -> dict[str, tuple[str, str]]:
    """Properties of a device as its help has them: type and default, which may be empty.

    Those of the parts that it is made of are there too, which ``info qtree`` has elsewhere.
    """
    text = _said(command, "-device", f"{driver},help")
    return {name: (kind, default) for name, kind, default in _PROPERTY.findall(text)}


@cache
def parts_of(command: tuple[str, ...]) -> Parts:
    """Ask a program; the answer is kept for the life of this process."""
    buses: dict[str, str] = {}
    aliases: dict[str, str] = {}
    text = _said(command, "-device", "help")
    displays = text.partition("Display devices:")[2].partition("\n\n")[0]
    for name, bus, alias in _DEVICE.findall(text):
        buses[name] = bus
        if alias:
            aliases[alias] = name
    machines = tuple(_MACHINE.findall(_said(command, "-machine", "help")))[1:]
    return Parts(
        buses=buses,
        aliases=aliases,
        sections=_sections(command),
        machines=machines,
        displays=tuple(name for name, _, _ in _DEVICE.findall(displays)),
    )


def _said(command: Sequence[str], *words: str) -> str:
    try:
        done = answers([*command, *words], timeout=10)
    except OSError:
        return ""
    return "" if done.status is None else done.stdout


def _sections(command: Sequence[str]) -> dict[str, str]:
    """Section names by device class.

    QEMU 5.2's ppc64 program ends in the middle of its dump. What other programs of the lab say of
    the same classes is taken for the rest: section names do not change, a stream would not load.
    """
    found, whole = _dumped(command)
    if not whole:
        with contextlib.suppress(LabError):
            for one in installed():
                for name, section in _dumped(one.command)[0].items():
                    found.setdefault(name, section)
    return found


def _dumped(command: Sequence[str]) -> tuple[dict[str, str], bool]:
    try:
        packed, mended = vmstate_dump.load(command, "none", timeout=10.0)
        dump: Any = json.loads(zlib.decompress(packed))
    except (ProfileError, ValueError, zlib.error):
        return {}, False
    return {
        name: str(one["Description"]["name"])
        for name, one in dump.items()
        if isinstance(one, dict) and isinstance(one.get("Description"), dict)
    }, not mended
