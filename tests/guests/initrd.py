"""A root file system in memory: busybox, modules, and ``init.sh`` as the first process."""

from __future__ import annotations

import gzip
from pathlib import Path

from tests.guests import kernel

MODULES = {
    "common": "virtio_pci virtio_net virtio_blk virtio_scsi sd_mod virtio_rng virtio_balloon "
    "virtio_console virtio_input e1000e xhci_pci usb_storage uas usbhid hid_generic net_failover "
    "virtio_iommu",
    "x86_64": "ahci ehci_pci uhci_hcd e1000 i6300esb megaraid_sas virtio-gpu bochs",
    "ppc64": "ibmvscsi ibmveth ohci_pci",
}


def build(target: str) -> tuple[Path, Path]:
    """Kernel and initrd of *target*; made once.

    :raise LabError: when the packages cannot be had.
    """
    root = kernel.fetch(target)
    out = kernel.guests_folder() / target
    script = Path(__file__).with_name("init.sh").read_bytes()
    stamp = out / "init.sh"
    initrd = out / "initrd.gz"
    made_of = MODULES["common"].encode() + MODULES[target].encode() + script
    if not (initrd.is_file() and stamp.is_file() and stamp.read_bytes() == made_of):
        archive = _Cpio()
        for name in ("bin", "proc", "sys", "dev", "tmp", "m"):
            archive.add(name, b"", mode=0o040755)
        archive.add("bin/busybox", kernel.busybox(root).read_bytes(), mode=0o100755)
        archive.add("init", script, mode=0o100755)
        names = f"{MODULES['common']} {MODULES[target]}".split()
        order = []
        for name, data in kernel.Modules(root).load_order(names):
            archive.add(f"m/{name}.ko", data)
            order.append(name)
        archive.add("m/list", "".join(f"{name}\n" for name in order).encode())
        partial = initrd.with_suffix(".partial")
        partial.write_bytes(gzip.compress(archive.end(), 1))
        partial.rename(initrd)
        stamp.write_bytes(made_of)
    return kernel.image(root), initrd


class _Cpio:
    """The ``newc`` format, which the kernel unpacks."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._inode = 0

    def add(self, name: str, data: bytes, mode: int = 0o100644) -> None:
        self._inode += 1
        path = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
        self._data += b"070701" + b"".join(b"%08X" % field for field in fields)
        self._data += path
        self._pad()
        self._data += data
        self._pad()

    def _pad(self) -> None:
        self._data += bytes(-len(self._data) % 4)

    def end(self) -> bytes:
        self.add("TRAILER!!!", b"", mode=0)
        return bytes(self._data)
