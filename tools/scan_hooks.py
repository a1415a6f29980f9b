"""List the descriptions of a lab program that have hooks or tests: what an audit has to read.

All ``VMStateDescription`` tables in the program's own data are looked at, those of devices that the
machine lacks too. A name that ``facts/targets.py`` has for the target is left out.

    python tools/scan_hooks.py 11.1 aarch64 virt      needs the lab's release; some seconds
"""

from __future__ import annotations

import argparse
import struct
from collections.abc import Iterator

from migratable.commandline import parse
from migratable.errors import ProfileError
from migratable.facts import targets
from migratable.profile.memory import ProcessMemory
from migratable.profile.memory.image import Image
from migratable.profile.memory.layout import find_handlers, find_layout
from migratable.profile.memory.tables import TableReader
from migratable.profile.tables import LOAD_HOOKS, Flag, Vmsd
from migratable.qemu.start import inert_start

_OLDEST_EEPROM = 20_061_112  # the greatest version that a description has


def descriptions(memory: ProcessMemory) -> Iterator[Vmsd]:
    """Every description in the program's data."""
    entries = find_handlers(memory)
    layout = find_layout(memory, entries)
    image = Image(memory, [entry.vmsd for entry in entries if entry.vmsd])
    reader = TableReader(memory, layout, image)
    low, high = min(one.start for one in image.regions), max(one.end for one in image.regions)
    fields = layout.fields // 8
    for region in image.tables:
        data = memory.read(region.start, region.end - region.start) or b""
        words = struct.unpack(f"{len(data) // 8}Q", data[: len(data) // 8 * 8])
        for at in range(len(words) - fields):
            if low <= words[at] < high and low <= words[at + fields] < high:
                index = reader.probe(region.start + 8 * at)
                if index is not None and plausible(reader.vmsds[index]):
                    yield reader.vmsds[index]


def plausible(vmsd: Vmsd) -> bool:
    """Whether it is one, and not other words that look like it."""
    return (
        0 <= vmsd.minimum <= vmsd.version <= _OLDEST_EEPROM
        and bool(vmsd.fields or vmsd.subsections)
        and all(
            field.info or field.vmsd is not None or field.flags & Flag.MUST_EXIST
            for field in vmsd.fields
        )
    )


def main() -> None:
    """Print what an audit has to read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("release")
    parser.add_argument("arch")
    parser.add_argument("machine")
    parser.add_argument("--all", action="store_true", help="also what was audited")
    options = parser.parse_args()
    words = ["-machine", options.machine, "-nodefaults", "-display", "none"]
    line = parse([f"lab:{options.release}/{options.arch}", *words], need_program=False)
    with inert_start(line) as start, start.process() as qemu, ProcessMemory(qemu.pid) as memory:
        try:
            found = {vmsd.name: vmsd for vmsd in descriptions(memory)}
        except ProfileError as error:
            raise SystemExit(str(error)) from None
    for name, vmsd in sorted(found.items()):
        if vmsd.has_own_code and (options.all or not targets.examined(options.arch, vmsd.name)):
            tests = sorted({field.name for field in vmsd.fields if field.test})
            print(name, *sorted(vmsd.hooks & LOAD_HOOKS), *(f"[{test}]" for test in tests))


if __name__ == "__main__":
    main()
