"""A rehearsal does not depend on the guest's RAM, but for the hash table of pseries (512 MiB)."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks import Row
from migratable.errors import LabError
from migratable.lab import find
from migratable.profile.collect import collect
from migratable.rehearse import rehearse
from migratable.stream import read

_TIMES = 5
_SMALL, _LARGE = "256M", "64G"


def rows() -> Iterator[Row]:
    """Rehearse machines that differ in RAM alone, on QEMU 10.0 under TCG, in turns."""
    for target, machine in (("x86_64", "pc-q35-5.2"), ("ppc64", "pseries-5.2")):
        try:
            find("10.0", target)
        except LabError:
            continue
        lines = {
            size: f"qemu-system-{target} -M {machine} -m {size} -nodefaults"
            for size in (_SMALL, _LARGE)
        }
        streams = {size: read(collect(line, release="10.0").stream) for size, line in lines.items()}
        times: dict[str, list[float]] = {_SMALL: [], _LARGE: []}
        for _ in range(_TIMES):
            for size, stream in streams.items():
                begin = time.perf_counter()
                rehearse(stream, lines[size], release="10.0")
                times[size].append(time.perf_counter() - begin)
        small, large = min(times[_SMALL]), min(times[_LARGE])
        yield Row(what=f"rehearsal, {machine}, {_SMALL}", value=small)
        yield Row(what=f"rehearsal, {machine}, {_LARGE}", value=large, beside=small, most=4)
