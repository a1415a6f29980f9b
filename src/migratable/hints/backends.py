"""Backends for devices that a remedy adds; a stream says little about them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from migratable.hints import inventory, network

if TYPE_CHECKING:
    from migratable.hints.candidate import Situation
    from migratable.hints.guest import PciDevice

Options = tuple[tuple[str, str], ...]
_NICS = (
    "virtio-net",
    "e1000",
    "igb",
    "rtl8139",
    "vmxnet3",
    "pcnet",
    "ne2k",
    "tulip",
    "i82",
    "sungem",
)
_WITH_ROM = frozenset({0x0200, 0x0300})
"""Classes (Ethernet, VGA) whose devices have a ROM if nothing else is said."""
DISK = "DISK-IMAGE"
"""In the place of an image's path, which only the user knows."""


def of(situation: Situation, device: PciDevice, driver: str) -> Iterator[tuple[Options, list[str]]]:
    """Options before the ``-device`` and members of it: likeliest first."""
    for options, members in _of(situation, device, driver):
        yield options, [*members, *_own(situation, device, driver)]


def _own(situation: Situation, device: PciDevice, driver: str) -> Iterator[str]:
    """Members without which the device would not start, or would have more than the guest's."""
    known = inventory.properties_of(situation.command, driver)
    taken = {
        option.fields.get("chassis") or option.fields.get("chassis_nr")
        for option in situation.line.all("device")
    }
    for key in ("chassis", "chassis_nr"):
        if key in known:
            yield f"{key}={next(str(n) for n in range(1, 256) if str(n) not in taken)}"
    if "slot" in known and (slot := device.slot_number) is not None:
        yield f"slot={slot}"
    if (
        "romfile" in known
        and rom(driver) not in device.blocks
        and device.register(0x0A, 2) in _WITH_ROM
    ):
        yield "romfile="


def rom(driver: str) -> str:
    """Name of a device's ROM block (hw/pci/pci.c: pci_add_option_rom, ``char name[32]``)."""
    return f"{driver}.rom"[:31]


def _of(
    situation: Situation, device: PciDevice, driver: str
) -> Iterator[tuple[Options, list[str]]]:
    name = "b" + device.chain[-1].replace(".", "")
    if driver.startswith(("ivshmem-plain", "virtio-mem", "virtio-pmem")):
        for block, size in device.blocks.items():
            text = f"memory-backend-ram,id={block},size={size}"
            text += ",share=on" if driver == "ivshmem-plain" else ""
            yield ((("object", text),), [f"memdev={block}"])
    else:
        yield from generic(situation, driver, name)


def generic(situation: Situation, driver: str, name: str) -> Iterator[tuple[Options, list[str]]]:
    """The same for a driver on any bus; *name* is the backend's id."""
    if driver.startswith("virtio-blk"):
        yield ((("drive", f"if=none,id={name},format=raw,file={DISK}"),), [f"drive={name}"])
    elif driver.startswith(_NICS):
        if slirp_missing(situation):
            yield ((("netdev", f"user,id={name}"),), [f"netdev={name}"])
        yield (), []
        if driver.startswith("virtio-net"):
            yield ((("netdev", network.tap(name)),), [f"netdev={name}"])
    elif driver.startswith("virtio-9p"):
        text = f"local,id={name},path=/tmp,security_model=none"
        yield ((("fsdev", text),), [f"fsdev={name}", "mount_tag=TAG"])
    elif driver.startswith("pci-serial"):
        yield ((("chardev", f"null,id={name}"),), [f"chardev={name}"])
    elif driver.startswith("virtio-crypto"):
        yield ((("object", f"cryptodev-backend-builtin,id={name}"),), [f"cryptodev={name}"])
    else:
        yield (), []
        if "chardev" in inventory.properties_of(situation.command, driver):
            yield ((("chardev", f"null,id={name}"),), [f"chardev={name}"])


def slirp_missing(situation: Situation) -> bool:
    """Has the guest's source more user networks than the destination?"""
    if situation.profile is None or situation.profile.loader is None:
        return False
    here = sum(handler.idstr == "slirp" for handler in situation.profile.loader.handlers)
    return situation.guest.count("slirp") > here
