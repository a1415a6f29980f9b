"""Another process's memory, read-only."""

from __future__ import annotations

import os
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from migratable.errors import ProfileError

_MAPS_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+\s*(.*)")

#: Regions above this many bytes are guest RAM or code caches, never the handlers' heap.
LARGEST_REGION = 256 << 20


@dataclass(frozen=True, slots=True)
class Region:
    """One line of ``/proc/PID/maps``."""

    start: int
    end: int
    permissions: str
    name: str

    @property
    def is_heap(self) -> bool:
        """Whether malloc may have put small objects there."""
        return self.permissions.startswith("rw") and (self.name in {"", "[heap]"})


class ProcessMemory:
    """Memory of process *pid*; a context manager.

    Small regions are read whole and kept, because a walk over tables makes tens of thousands of
    reads of a few bytes.

    :raise ProfileError: when the system does not let us read it.
    """

    def __init__(self, pid: int) -> None:
        """Open ``/proc/PID/mem`` and read the list of regions."""
        if struct.calcsize("P") != 8:
            raise ProfileError("the loader's tables can only be read on 64-bit hosts")
        self._order = "<" if sys.byteorder == "little" else ">"
        self._cache: dict[int, bytes] = {}
        try:
            with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:  # noqa: PTH123
                self.regions = tuple(self._parse(maps))
            self._fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ProfileError(
                f"cannot read the memory of the destination (process {pid}): {error.strerror}; "
                "on a locked-down host allow ptrace of own children"
            ) from error
        self._starts = [region.start for region in self.regions]

    @staticmethod
    def _parse(lines: Iterator[str]) -> Iterator[Region]:
        for line in lines:
            found = _MAPS_LINE.match(line)
            if found is not None:
                yield Region(int(found[1], 16), int(found[2], 16), found[3], found[4])

    def __enter__(self) -> ProcessMemory:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)

    def region(self, address: int) -> Region | None:
        """Return the region that holds *address*, None when it is not mapped."""
        low, high = 0, len(self.regions)
        while low < high:
            middle = (low + high) // 2
            if self.regions[middle].end <= address:
                low = middle + 1
            else:
                high = middle
        if low < len(self.regions) and self.regions[low].start <= address:
            return self.regions[low]
        return None

    def content(self, region: Region) -> bytes:
        """Return the bytes of a whole *region* (empty when it is too large or unreadable)."""
        kept = self._cache.get(region.start)
        if kept is None:
            kept = b""
            if region.permissions.startswith("r") and region.end - region.start <= LARGEST_REGION:
                try:
                    kept = os.pread(self._fd, region.end - region.start, region.start)
                except OSError:  # [vvar] and the like refuse
                    kept = b""
            self._cache[region.start] = kept
        return kept

    def read(self, address: int, length: int) -> bytes | None:
        """Return *length* bytes at *address*, None when not all of them can be read."""
        region = self.region(address)
        if region is None:
            return None
        content = self.content(region)
        at = address - region.start
        data = content[at : at + length]
        if len(data) == length:
            return data
        try:
            data = os.pread(self._fd, length, address)
        except OSError:
            return None
        return data if len(data) == length else None

    def word(self, address: int, width: int = 8) -> int | None:
        """Return the unsigned integer of *width* bytes at *address*, None when unreadable."""
        data = self.read(address, width)
        return None if data is None else int.from_bytes(data, sys.byteorder)

    def unpack(self, fmt: str, address: int) -> tuple[int, ...] | None:
        """Unpack *fmt* (without byte order) at *address*, None when unreadable."""
        data = self.read(address, struct.calcsize(self._order + fmt))
        return None if data is None else struct.unpack(self._order + fmt, data)

    def string(self, address: int, limit: int = 256) -> str | None:
        """Return the printable C string at *address*, None when there is none."""
        if not address:
            return None
        region = self.region(address)
        if region is None:
            return None
        length = min(limit, region.end - address)
        data = self.read(address, length)
        if data is None:
            return None
        text, end, _ = data.partition(b"\0")
        if not end or not all(0x20 <= byte < 0x7F for byte in text):
            return None
        return text.decode("ascii")

    def search(self, needle: bytes, regions: Iterator[Region]) -> Iterator[int]:
        """Yield every address in *regions* at which *needle* stands."""
        for region in regions:
            content = self.content(region)
            at = content.find(needle)
            while at >= 0:
                yield region.start + at
                at = content.find(needle, at + 1)

    def pack_pointer(self, address: int) -> bytes:
        """Return *address* as the process stores it."""
        return address.to_bytes(8, sys.byteorder)
