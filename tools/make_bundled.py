"""Make the examples that are part of the program: a stream each, and releases as destinations.

``q35``: a guest under KVM that QEMU 10.0 started, with a virtio disk; 7.2 takes it, 11.1 refuses
its queues, and takes it with ``queue-size=1024``.

``pseries``: a guest with ``-cpu POWER9`` that QEMU 5.2 saved. From 10.0 on ``POWER9`` is another
processor, and the guest is refused; 10.0 with the guest's own processor takes it.

``aarch64``: a guest with ``-cpu cortex-a72`` under TCG; another processor refuses its registers.

The guests never ran: their streams have no RAM contents, so no firmware is in them. What is of the
machine on which this runs (paths, its kernel) is left out. Programs are started without randomised
addresses, so that a second run differs from the first in clocks and little else.

    python tools/make_bundled.py [FOLDER]      needs the lab's releases and KVM; a few seconds
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from migratable.errors import MigratableError
from migratable.lab.releases import NAMES
from migratable.profile import bundled
from migratable.profile.collect import collect
from migratable.profile.model import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One guest and its destinations.

    :ivar source: the release that saved it.
    :ivar remedy: a release that refuses it, the word that does it, what takes its place, and how
        that destination is called.
    """

    name: str
    stream: str
    source: str
    releases: tuple[str, ...]
    command: tuple[str, ...]
    remedy: tuple[str, str, str, str]


Q35 = Example(
    name="q35",
    stream="guest-q35.mig.gz",
    source="10.0",
    releases=("7.2", "10.0", "11.1"),
    command=(
        *("qemu-system-x86_64", "-nodefaults", "-display", "none"),
        *("-machine", "pc-q35-7.2,accel=kvm", "-cpu", "qemu64", "-smp", "2", "-m", "4G"),
        *("-vga", "std", "-netdev", "tap,id=lan", "-device", "e1000e,netdev=lan"),
        *("-drive", "if=none,id=disk,file=guest.qcow2", "-device", "virtio-blk-pci,drive=disk"),
    ),
    remedy=(
        "11.1",
        "virtio-blk-pci,drive=disk",
        "virtio-blk-pci,drive=disk,queue-size=1024",
        "queue-size",
    ),
)
AARCH64 = Example(
    name="aarch64",
    stream="guest-aarch64.mig.gz",
    source="10.0",
    releases=("10.0",),
    command=(
        *("qemu-system-aarch64", "-nodefaults", "-display", "none"),
        *("-machine", "virt-9.2,gic-version=3", "-cpu", "cortex-a72", "-m", "2G"),
        *("-netdev", "tap,id=lan", "-device", "virtio-net-pci,netdev=lan,romfile="),
        *("-drive", "if=none,id=disk,file=guest.qcow2", "-device", "virtio-blk-pci,drive=disk"),
    ),
    remedy=("10.0", "cortex-a72", "cortex-a57", "cortex-a57"),
)
PSERIES = Example(
    name="pseries",
    stream="guest-pseries.mig.gz",
    source="5.2",
    releases=NAMES,
    command=(
        *("qemu-system-ppc64", "-nodefaults", "-display", "none"),
        *("-machine", "pseries-5.2,ic-mode=xics", "-cpu", "POWER9", "-m", "4G"),
        *("-chardev", "stdio,id=console", "-device", "spapr-vty,chardev=console"),
        *("-device", "virtio-scsi-pci,id=scsi", "-drive", "if=none,id=disk,file=guest.qcow2"),
        *("-device", "scsi-hd,bus=scsi.0,drive=disk"),
        *("-netdev", "tap,id=lan", "-device", "virtio-net-pci,netdev=lan"),
    ),
    remedy=("10.0", "POWER9", "power9_v2.0", "power9_v2.0"),
)
_ADDR_NO_RANDOMIZE = 0x0040000  # <sys/personality.h>


def take(release: str, command: tuple[str, ...]) -> Profile:
    """Take a release's profile of the command line, without what is of this machine."""
    found = collect(command, release=release)
    if found.wants_kvm and found.accelerator != "kvm":
        sys.exit("make_bundled: no KVM on this machine; the example is of a guest under KVM")
    return replace(
        found,
        program=(command[0],),
        inert=(),
        kernel="",
        host_kvm=None,
        taken="",
        stderr=tuple(line for line in found.stderr if "host doesn't support" not in line),
    )


def write(path: Path, data: bytes) -> None:
    """Write *data* compressed; the same data give the same bytes."""
    path.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{path.name:<32} {path.stat().st_size:7,} bytes")


def make(example: Example, folder: Path) -> None:
    """Write one example's files."""
    profiles = {release: take(release, example.command) for release in example.releases}
    release, word, remedy, called = example.remedy
    other = take(release, tuple(remedy if one == word else one for one in example.command))
    write(folder / example.stream, profiles[example.source].stream)
    for name, profile in profiles.items():
        write(folder / f"{example.name}-{name}.json.gz", profile.dumps().encode())
    write(folder / f"{example.name}-{release}-{called}.json.gz", other.dumps().encode())


def main() -> None:
    """Write all files to the package's folder, or to that which is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=bundled.FOLDER)
    folder: Path = parser.parse_args().folder
    ctypes.CDLL(None).personality(_ADDR_NO_RANDOMIZE)
    try:
        for example in (Q35, PSERIES, AARCH64):
            make(example, folder)
    except MigratableError as error:
        sys.exit(f"make_bundled: {error}")


if __name__ == "__main__":
    main()
