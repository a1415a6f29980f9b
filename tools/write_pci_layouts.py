#!/usr/bin/env python3
"""Write facts/pci_layouts.toml: the capability lists of QEMU's PCI devices, from real QEMU.

Starts the lab's x86_64 releases with every device that goes on a PCI or PCI Express bus, and reads
the configuration spaces that its profiles have. Takes minutes; needs ``migratable lab install``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from migratable.errors import MigratableError
from migratable.facts.pci import extended_capabilities
from migratable.lab.releases import NAMES
from migratable.profile.collect import collect
from migratable.stream.virtio import pci_capabilities

OUT = Path(__file__).parents[1] / "src/migratable/facts/pci_layouts.toml"
COMMON = (
    "virtio-net-pci", "virtio-blk-pci,drive=d0", "virtio-scsi-pci", "virtio-serial-pci",
    "virtio-balloon-pci", "virtio-rng-pci", "virtio-gpu-pci", "virtio-vga", "virtio-keyboard-pci",
    "virtio-crypto-pci,cryptodev=c", "virtio-9p-pci,fsdev=f,mount_tag=t", "virtio-iommu-pci",
    "virtio-net-pci,ats=on,id=ats",
    "e1000", "e1000e", "igb", "vmxnet3", "rtl8139", "i82559er", "pcnet", "ne2k_pci", "tulip",
    "qemu-xhci", "nec-usb-xhci", "ich9-usb-ehci1", "ich9-usb-uhci1", "piix3-usb-uhci", "pci-ohci",
    "nvme,serial=n", "ich9-ahci", "megasas", "megasas-gen2", "pvscsi", "lsi53c895a", "mptsas1068",
    "am53c974", "intel-hda", "ich9-intel-hda", "AC97", "ES1370", "VGA", "bochs-display",
    "cirrus-vga", "vmware-svga", "qxl", "ivshmem-plain,memdev=m",
    "edu", "pci-serial", "pci-testdev", "pvpanic-pci", "i6300esb", "pci-bridge,chassis_nr=9",
)  # fmt: skip
EXPRESS = (
    "pcie-root-port,chassis=1,slot=1", "ioh3420,chassis=2,slot=2",
    "pcie-pci-bridge", "x3130-upstream",
)  # fmt: skip
INTEGRATED = ("virtio-iommu-pci",)
GROUP = 14
BACKENDS = [
    "-drive",
    "if=none,id=d0,driver=null-co",
    "-object",
    "cryptodev-backend-builtin,id=c",
    "-object",
    "memory-backend-ram,id=m,size=1M,share=on",
    "-fsdev",
    "local,id=f,path=/tmp,security_model=none",
]


def machines() -> Iterator[tuple[str, list[str]]]:
    """A bus's name, and its machine's command line without devices."""
    head = [
        "qemu-system-x86_64",
        "-smp",
        "2",
        "-m",
        "128",
        "-nodefaults",
        "-serial",
        "null",
        "-vga",
        "none",
    ]
    yield "PCI", [*head, "-M", "pc", *BACKENDS]
    yield "PCIe root complex", [*head, "-M", "q35", *BACKENDS]
    ports = [
        word
        for number in range(GROUP)
        for word in (
            "-device",
            f"pcie-root-port,id=p{number},chassis={number},addr={number + 3:#x}",
        )
    ]
    yield "PCIe", [*head, "-M", "q35", *BACKENDS, *ports]


def taken(
    line: list[str], devices: list[str], release: str, bus: str
) -> dict[str, tuple[str, bytes]]:
    """Device option by address, section and configuration space; devices that fail are left out."""
    words = list(line)
    for number, device in enumerate(devices):
        place = f"bus=p{number}" if bus == "PCIe" else f"addr={number + 3:#x}"
        words += ["-device", f"{device},{place}"]
    try:
        profile = collect(words, release=release)
    except MigratableError as error:
        if len(devices) == 1:
            print(f"{release}: {devices[0]}: {str(error).splitlines()[0][:110]}", file=sys.stderr)
            return {}
        half = len(devices) // 2
        first, second = devices[:half], devices[half:]
        return {**taken(line, first, release, bus), **taken(line, second, release, bus)}
    found = {}
    assert profile.loader is not None
    for number, device in enumerate(devices):
        address = f"0000:00:{number + 3:02x}.0{':00.0' if bus == 'PCIe' else ''}"
        for idstr, masks in profile.loader.pci.items():
            if idstr.startswith(f"{address}/"):
                found[device] = (idstr.rpartition("/")[2], masks.config)
    return found


def main() -> int:
    """Start everything and write."""
    seen: dict[tuple[str, str, str], tuple[list[str], list[str], list[str]]] = {}
    for release in NAMES:
        for bus, line in machines():
            devices = [*COMMON, *(EXPRESS if bus == "PCIe root complex" else ())]
            if bus == "PCIe":
                devices = [device for device in devices if not device.startswith(INTEGRATED)]
            for first in range(0, len(devices), GROUP):
                for device, (section, config) in taken(
                    line, devices[first : first + GROUP], release, bus
                ).items():
                    capabilities = [list(item) for item in pci_capabilities(config)]
                    extended = [list(item) for item in extended_capabilities(config)]
                    if not capabilities and not extended:
                        continue
                    key = (section, str(capabilities), str(extended))
                    names, buses, releases = seen.setdefault(key, ([], [], []))
                    name = device.partition(",")[0]
                    if "ats=on" in device:
                        name += ",ats=on"
                    if name not in names:
                        names.append(name)
                    if bus not in buses:
                        buses.append(bus)
                    if release not in releases:
                        releases.append(release)
    lines = [
        "# Capability lists of QEMU's PCI devices: [kind, offset], as real QEMU starts them with",
        "# default properties. Written by tools/write_pci_layouts.py; kinds are in pci.py.",
    ]
    for (section, listed, further), (names, buses, releases) in sorted(seen.items()):
        lines += [
            "",
            "[[layout]]",
            f'section = "{section}"',
            f"devices = {names}".replace("'", '"'),
            f"buses = {buses}".replace("'", '"'),
            f"releases = {releases}".replace("'", '"'),
            f"capabilities = {listed}",
        ]
        if further != "[]":
            lines.append(f"extended = {further}")
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
