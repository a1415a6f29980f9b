"""Start every hostile line of a seed, as ``rehearse`` does; run under strace by its test.

python -m tests.hostile_run FOLDER SEED COUNT RELEASE TARGET PORT
"""

import sys
from pathlib import Path

from migratable.commandline import parse
from migratable.errors import MigratableError
from migratable.qemu.start import inert_start
from tests.hostile import Place, lines


def main() -> None:
    folder, seed, count, release, target, port = sys.argv[1:]
    place = Place(folder=Path(folder), port=int(port))
    started = refused = 0
    for argv in lines(int(seed), int(count), target, place):
        try:
            line = parse([f"qemu-system-{target}", *argv])
            with (
                inert_start(line, release=release, strict=started % 2 == 0, timeout=30) as start,
                start.process(timeout=30) as qemu,
            ):
                qemu.qmp("query-status")
                started += 1
        except MigratableError:
            refused += 1
    print(started, refused)


main()
