"""Make all guests' streams for all releases that are installed: ``python -m tests.guests``."""

from __future__ import annotations

import sys
import time

from migratable.lab import installed
from tests.guests.machines import GUESTS
from tests.guests.saved import stream

for program in installed(system=False):
    for name, guest in GUESTS.items():
        wanted = not sys.argv[1:] or name in sys.argv[1:]
        if guest.target == program.arch and wanted and guest.runs_in(program.release):
            begin = time.monotonic()
            path = stream(name, program)
            size = path.stat().st_size >> 20
            print(f"{path}  {size} MiB  {time.monotonic() - begin:.1f} s", flush=True)
