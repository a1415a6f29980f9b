"""Devices of the guest that the destination lacks: their driver and members."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from migratable.commandline import CommandLine
from migratable.hints import backends
from migratable.hints.candidate import Situation
from migratable.hints.guest import PciDevice


@dataclass(frozen=True, slots=True)
class Add:
    """A device to add: its backends first."""

    options: tuple[tuple[str, str], ...]
    remove: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Its options as they are written."""
        return " ".join(f"-{name} {value}" for name, value in self.options)

    def apply(self, line: CommandLine) -> CommandLine:
        """Add it at the end."""
        for name, value in self.options:
            line = line.append(name, value)
        return line


def drivers(situation: Situation, device: PciDevice) -> list[str]:
    """Drivers that could be the device, likeliest first."""
    parts = situation.parts
    found = [name for name in parts.buses if backends.rom(name) in device.blocks]
    for name in device.names:
        if name.startswith("virtio-"):
            found += _virtio(device, parts.virtio(name))
        found += [driver for driver in parts.drivers(name) if parts.buses.get(driver) == "PCI"]
    if not found and not device.names and device.blocks:
        found += parts.silent_displays
    if not device.names:  # without a section: bochs-display, VGA of other kinds have RAM blocks
        stems = {name.rpartition("-vram")[0] or name.partition(".")[0] for name in device.blocks}
        found += [stem for stem in stems if parts.buses.get(stem) == "PCI"]
    known = _BY_ID.get(device.pci_id)
    found = [one for one in dict.fromkeys(found) if parts.buses.get(one) == "PCI"]
    if known is not None:
        exact = [one for one in known if one in found]
        if exact:
            return exact
        named = [one for one in known if parts.buses.get(one) == "PCI"]
        return named + found
    return found


#: PCI ids by which drivers whose sections have one name are told apart (their sources' class_init).
_BY_ID: dict[str, tuple[str, ...]] = {
    "8086:2934": ("ich9-usb-uhci1",),
    "8086:2935": ("ich9-usb-uhci2",),
    "8086:2936": ("ich9-usb-uhci3",),
    "8086:2937": ("ich9-usb-uhci4",),
    "8086:2938": ("ich9-usb-uhci5",),
    "8086:2939": ("ich9-usb-uhci6",),
    "8086:7020": ("piix3-usb-uhci",),
    "8086:7112": ("piix4-usb-uhci",),
    "8086:24cd": ("usb-ehci",),
    "8086:293a": ("ich9-usb-ehci1",),
    "8086:293c": ("ich9-usb-ehci2",),
    "1b36:000d": ("qemu-xhci",),
    "1033:0194": ("nec-usb-xhci",),
    "8086:100e": ("e1000",),
    "8086:100f": ("e1000-82545em",),
    "8086:1008": ("e1000-82544gc",),
    "8086:2668": ("intel-hda",),
    "8086:293e": ("ich9-intel-hda",),
    "1234:1111": ("VGA", "secondary-vga", "bochs-display"),
    "1b36:0002": ("pci-serial",),
    "1b36:0003": ("pci-serial-2x",),
    "1b36:0004": ("pci-serial-4x",),
    "1000:0012": ("lsi53c895a",),
    "1000:0001": ("lsi53c810",),
}
CLASS_VGA, _CLASS_KEYBOARD, _CLASS_MOUSE, _CLASS_INPUT = 0x0300, 0x0900, 0x0902, 0x0980


def _virtio(device: PciDevice, names: list[str]) -> list[str]:
    """Order the proxies by PCI id and class: modern ids are 0x1040 and up."""
    number = device.register(2, 2)
    kind = device.register(0x0A, 2)
    plain = [name for name in names if name.endswith("-pci") or name == "virtio-vga"]
    if kind == CLASS_VGA:
        plain = [one for one in plain if "vga" in one] or plain
    elif kind == 0x0380:
        plain = [one for one in plain if "vga" not in one] or plain
    if kind == _CLASS_KEYBOARD:
        plain = [one for one in plain if "keyboard" in one]
    elif kind == _CLASS_MOUSE:
        plain = [one for one in plain if "mouse" in one]
    elif kind == _CLASS_INPUT:
        plain = [one for one in plain if "keyboard" not in one and "mouse" not in one]
    other = "-non-transitional" if number >= 0x1040 else "-transitional"
    suffixed = [name for name in names if name.endswith("-pci" + other)]
    return plain + suffixed


def ways(situation: Situation, device: PciDevice, bus: str | None) -> Iterator[Add]:
    """Options that add it at its place, likeliest first."""
    for driver in drivers(situation, device):
        props = [driver, f"id={_name(situation, device)}"]
        if bus is not None:
            props.append(f"bus={bus}")
        props.append(f"addr={device.addr}")
        if device.register(0x0E, 1) & 0x80 and device.chain[-1].endswith(".0"):
            props.append("multifunction=on")
        for before, more in backends.of(situation, device, driver):
            yield Add((*before, ("device", ",".join([*props, *more]))))


def _name(situation: Situation, device: PciDevice) -> str:
    taken = {known for _, _, known in situation.line.devices()}
    base = "at-" + "-".join(one.replace(".", "-") for one in device.chain)
    name, number = base, 1
    while name in taken:
        name, number = f"{base}-{number}", number + 1
    return name
