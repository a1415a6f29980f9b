"""Record destinations and what real QEMU says to each pair of them, for tests without QEMU.

Boards of four kinds under three releases, and for each one of another shape (``other``: devices
and sizes that differ). No RAM contents and nothing of this machine is in what is written.

    python tools/make_recorded.py profiles [NAME…]
                                             take them anew (needs the lab's releases)
    python tools/make_recorded.py real       try every pair on the real programs; minutes
    python tools/make_recorded.py            only note what the replay now says to each pair

Look at the changes of ``pairs.json`` before they are committed: each is a change of an answer.
"""

from __future__ import annotations

import argparse
import ctypes
import lzma
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from migratable.check import check
from migratable.errors import MigratableError
from migratable.profile.collect import collect
from migratable.rehearse import rehearse
from tests import recorded

RELEASES = ("5.2", "10.0", "11.1")
OTHER_RELEASE = "10.0"


def _line(text: str, *devices: str) -> tuple[str, ...]:
    return (*text.split(), *(word for device in devices for word in ("-device", device)))


BOARDS = {
    "q35": _line(
        "qemu-system-x86_64 -M pc-q35-5.2 -smp 2 -m 256 -nodefaults -serial null "
        "-audiodev none,id=a",
        *("virtio-net-pci,mq=on,vectors=6", "virtio-scsi-pci,num_queues=3", "virtio-gpu-pci"),
        *("virtio-keyboard-pci", "e1000e", "vmxnet3", "pvscsi", "qemu-xhci,id=x"),
        *("usb-kbd,bus=x.0", "pcie-root-port,id=r,slot=1", "pcie-pci-bridge,id=b"),
        *("tulip,bus=b,addr=1", "virtio-rng-pci,bus=r", "megasas", "intel-hda,id=h"),
        *("hda-duplex,bus=h.0,audiodev=a", "virtio-balloon-pci"),
    ),
    "q35-other": _line(
        "qemu-system-x86_64 -M pc-q35-5.2 -smp 1 -m 512 -nodefaults -serial null",
        *("virtio-net-pci,mq=off,vectors=3", "virtio-scsi-pci,num_queues=2", "virtio-gpu-pci"),
        *("virtio-mouse-pci", "e1000e,subsys=1", "vmxnet3", "nec-usb-xhci,id=x"),
        *("usb-tablet,bus=x.0", "pcie-root-port,id=r,slot=2", "pcie-pci-bridge,id=b"),
        *("tulip,bus=b,addr=2", "virtio-rng-pci,bus=r,disable-legacy=on"),
    ),
    "i440fx": _line(
        "qemu-system-x86_64 -M pc-i440fx-5.2 -cpu Haswell-noTSX -smp 2 -m 256 -nodefaults "
        "-serial null -parallel null -drive if=none,id=d,driver=null-co -chardev null,id=c",
        *("virtio-net-pci,mq=on,vectors=4", "virtio-serial-pci,id=v"),
        *("virtconsole,bus=v.0,chardev=c", "virtio-blk-pci,drive=d", "e1000", "rtl8139", "pcnet"),
        *("lsi53c895a", "mptsas1068", "am53c974", "piix3-usb-uhci", "usb-ehci,id=e"),
        *("usb-tablet,bus=e.0", "cirrus-vga", "i6300esb", "pvpanic"),
    ),
    "i440fx-other": _line(
        "qemu-system-x86_64 -M pc-i440fx-5.2 -cpu Nehalem -smp 2 -m 256 -nodefaults "
        "-serial null -drive if=none,id=d,driver=null-co",
        *("virtio-net-pci,mq=on,vectors=8,packed=on", "virtio-serial-pci,id=v,max_ports=40"),
        *("virtio-blk-pci,drive=d,num-queues=2", "e1000", "rtl8139", "ne2k_pci", "lsi53c810"),
        *("am53c974", "piix4-usb-uhci", "usb-ehci,id=e", "usb-kbd,bus=e.0", "VGA", "i6300esb"),
    ),
    "pseries": _line(
        "qemu-system-ppc64 -M pseries-5.2,ic-mode=dual -cpu power9_v2.0 -smp 2 -m 512 -nodefaults",
        *("virtio-net-pci", "virtio-scsi-pci", "spapr-vlan", "spapr-vscsi", "nec-usb-xhci"),
        *("spapr-pci-host-bridge,index=1", "pci-ohci", "rtl8139"),
    ),
    "pseries-other": _line(
        "qemu-system-ppc64 -M pseries-5.2,ic-mode=xics,cap-large-decr=off,cap-ibs=broken "
        "-cpu power8_v2.0 -smp 1 -m 512 -nodefaults",
        *("virtio-net-pci", "virtio-scsi-pci", "spapr-vlan", "spapr-vscsi", "pci-ohci"),
    ),
    "virt": _line(
        "qemu-system-aarch64 -M virt-5.2 -cpu cortex-a57 -smp 2 -m 256 -nodefaults",
        *("virtio-net-pci", "virtio-scsi-pci", "qemu-xhci", "virtio-rng-device"),
    ),
    "virt-other": _line(
        "qemu-system-aarch64 -M virt-5.2,gic-version=3 -cpu cortex-a57 -smp 1 -m 256 -nodefaults",
        *("virtio-net-pci", "virtio-scsi-pci", "virtio-rng-pci"),
    ),
}
_ADDR_NO_RANDOMIZE = 0x0040000  # <sys/personality.h>


def destinations() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Release and command line of each destination."""
    found = {}
    for board, line in BOARDS.items():
        kind, _, shape = board.partition("-")
        for release in (OTHER_RELEASE,) if shape else RELEASES:
            found["-".join(filter(None, (kind, release, shape)))] = (release, line)
    return found


def take_profiles(names: Sequence[str]) -> None:
    """Take profiles, all without names, without what is of this machine."""
    ctypes.CDLL(None).personality(_ADDR_NO_RANDOMIZE)
    for name, (release, line) in destinations().items():
        if names and name not in names:
            continue
        taken = replace(
            collect(line, release=release),
            program=(line[0],),
            inert=(),
            kernel="",
            taken="",
        )
        path = recorded.FOLDER / f"{name}{recorded.SUFFIX}"
        path.write_bytes(lzma.compress(taken.dumps().encode(), preset=9 | lzma.PRESET_EXTREME))
        print(f"{path.name:<28} {path.stat().st_size:7,} bytes")


def note(*, real: bool) -> None:
    """Write ``pairs.json``."""
    before = recorded.recorded() if recorded.PAIRS.exists() else {}
    lines = destinations()
    found: dict[str, Any] = {}
    for source, destination in recorded.pairs():
        key = f"{source} > {destination}"
        stream = recorded.source(source)
        release, line = lines[destination]
        origin = recorded.profile(source) if source in lines else None
        entry = {
            "predicted": recorded.digest(
                check(stream, recorded.profile(destination), origin=origin)
            )
        }
        if real:
            try:
                verdict = rehearse(stream, line, release=release)
                entry["real"] = {"outcome": str(verdict.outcome), "stderr": list(verdict.stderr)}
            except MigratableError as error:
                entry["real"] = {"outcome": "unknown", "stderr": [str(error)]}
        else:
            entry["real"] = before.get(key, {}).get("real")
        found[key] = entry
        kinds = entry["predicted"]["outcome"], (entry["real"] or {}).get("outcome")
        print(f"{key:<50} {' '.join(map(str, kinds))}")
    recorded.write(found)


def main() -> None:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="?", choices=("profiles", "real"))
    parser.add_argument("names", nargs="*", help="with profiles: these alone (pseries-11.1)")
    options = parser.parse_args()
    if options.what == "profiles":
        take_profiles(options.names)
    note(real=options.what == "real")


if __name__ == "__main__":
    main()
