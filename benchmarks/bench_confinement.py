"""What confinement costs: the same rehearsal with and without it, in turns."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from unittest import mock

from benchmarks import Row
from migratable.errors import LabError
from migratable.lab import find
from migratable.profile.collect import collect
from migratable.qemu.process import QemuProcess
from migratable.rehearse import rehearse
from migratable.stream import read

_LINE = "qemu-system-x86_64 -M pc-q35-7.2 -m 4G -nodefaults -device virtio-net-pci"
_TIMES = 9


def rows() -> Iterator[Row]:
    """Rehearse a q35 guest's device state on QEMU 10.0 under TCG."""
    try:
        find("10.0", "x86_64")
    except LabError:
        return
    stream = read(collect(_LINE, release="10.0").stream)
    times: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(_TIMES + 1):
        for confined, taken in times.items():
            process = partial(QemuProcess, confined=confined)
            with mock.patch("migratable.qemu.start.QemuProcess", process):
                begin = time.perf_counter()
                rehearse(stream, _LINE, release="10.0")
                taken.append(time.perf_counter() - begin)
    bare, confined_time = (min(times[one][1:]) for one in (False, True))
    yield Row(what="rehearsal, not confined", value=bare)
    yield Row(what="rehearsal, confined", value=confined_time, beside=bare, most=1.2)
