"""Backends of devices that are added: the host's part, of which a stream says little."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migratable.rehearse.hints.candidate import Situation
    from migratable.rehearse.hints.guest import PciDevice

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
DISK = "DISK-IMAGE"
"""In the place of an image's path, which only the user knows."""


def of(at: Situation, device: PciDevice, driver: str) -> Iterator[tuple[Options, list[str]]]:
    """Options before the ``-device`` and members of it: likeliest first."""
    name = "b" + device.chain[-1].replace(".", "")
    if driver.startswith("virtio-blk"):
        yield ((("drive", f"if=none,id={name},format=raw,file={DISK}"),), [f"drive={name}"])
    elif driver.startswith(_NICS):
        if slirp_missing(at):
            yield ((("netdev", f"user,id={name}"),), [f"netdev={name}"])
        if driver.startswith("virtio-net"):
            yield ((("netdev", f"tap,id={name}"),), [f"netdev={name}"])
        yield (), []
    elif driver.startswith("virtio-9p"):
        text = f"local,id={name},path=/tmp,security_model=none"
        yield ((("fsdev", text),), [f"fsdev={name}", "mount_tag=TAG"])
    elif driver.startswith("pci-serial"):
        yield ((("chardev", f"null,id={name}"),), [f"chardev={name}"])
    elif driver.startswith(("ivshmem-plain", "virtio-mem", "virtio-pmem")):
        for block, size in device.blocks.items():
            text = f"memory-backend-ram,id={block},size={size}"
            text += ",share=on" if driver == "ivshmem-plain" else ""
            yield ((("object", text),), [f"memdev={block}"])
    else:
        yield (), []


def slirp_missing(at: Situation) -> bool:
    """Has the guest's source more user networks than the destination?"""
    if at.profile is None or at.profile.loader is None:
        return False
    here = sum(one.idstr == "slirp" for one in at.profile.loader.handlers)
    return at.guest.count("slirp") > here
