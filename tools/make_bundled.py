"""Make the example that is part of the program: one stream, and four releases as destinations.

A pseries guest with ``-cpu POWER9`` that QEMU 5.2 saved, and the same command line under 5.2, 7.2,
10.0 and 11.1. From 10.0 on ``POWER9`` is another processor, and the guest is refused; one more
destination, 10.0 with the guest's own processor, takes it.

The guest never ran: its stream has no RAM contents, so no firmware is in it. What is of the machine
on which this runs (paths, its kernel) is left out. Programs are started without randomised
addresses, so that a second run differs from the first in clocks and little else.

    python tools/make_bundled.py [FOLDER]      needs the lab's four releases; a few seconds
"""

from __future__ import annotations

import argparse
import ctypes
import gzip
import sys
from dataclasses import replace
from pathlib import Path

from migratable.errors import MigratableError
from migratable.profile import bundled
from migratable.profile.collect import collect
from migratable.profile.model import Profile

RELEASES = ("5.2", "7.2", "10.0", "11.1")
SOURCE = "5.2"
EXAMPLE = "guest.mig.gz"
COMMAND = (
    *("qemu-system-ppc64", "-nodefaults", "-display", "none"),
    *("-machine", "pseries-5.2,ic-mode=xics", "-cpu", "POWER9", "-m", "4G"),
    *("-chardev", "stdio,id=console", "-device", "spapr-vty,chardev=console"),
    *("-device", "virtio-scsi-pci,id=scsi", "-drive", "if=none,id=disk,file=guest.qcow2"),
    *("-device", "scsi-hd,bus=scsi.0,drive=disk"),
    *("-netdev", "tap,id=lan", "-device", "virtio-net-pci,netdev=lan"),
)
OTHER = ("10.0", "POWER9", "power9_v2.0")
_ADDR_NO_RANDOMIZE = 0x0040000  # <sys/personality.h>


def take(release: str, command: tuple[str, ...] = COMMAND) -> Profile:
    """Take a release's profile of the command line, without what is of this machine."""
    found = collect(command, release=release, vmstate=False)
    return replace(
        found, program=(COMMAND[0],), inert=(), kernel="", pci_devices=(), virtio={}, taken=""
    )


def write(path: Path, data: bytes) -> None:
    """Write *data* compressed; the same data give the same bytes."""
    path.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{path.name:<24} {path.stat().st_size:7,} bytes")


def main() -> None:
    """Write all files to the package's folder, or to that which is named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=bundled.FOLDER)
    folder: Path = parser.parse_args().folder
    ctypes.CDLL(None).personality(_ADDR_NO_RANDOMIZE)
    try:
        profiles = {release: take(release) for release in RELEASES}
        release, model, remedy = OTHER
        other = take(release, tuple(remedy if word == model else word for word in COMMAND))
    except MigratableError as error:
        sys.exit(f"make_bundled: {error}")
    write(folder / EXAMPLE, profiles[SOURCE].stream)
    for name, profile in profiles.items():
        write(folder / f"pseries-{name}.json.gz", profile.dumps().encode())
    write(folder / f"pseries-{release}-{remedy}.json.gz", other.dumps().encode())


if __name__ == "__main__":
    main()
