"""Another process's memory, read-only."""

from __future__ import annotations

import os
import re
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from migratable.errors import ProfileError

_MAPS_LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+\s*(.*)")

#: Regions up to this many bytes are read whole and kept; of larger ones (guest RAM, code caches,
#: the arenas of some allocators) only the pages that are there, piece by piece.
LARGEST_REGION = 256 << 20
_PIECE = 2 << 20
_PAGE = 4096
#: Bits of /proc/PID/pagemap: the page is in memory or swapped out.
_PRESENT = 3 << 62


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
        return self.permissions.startswith("rw") and (
            self.name in {"", "[heap]"} or self.name.startswith("[anon:")
        )


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
        self.pid = pid
        _need_64_bits(pid)
        try:
            with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps:  # noqa: PTH123
                self.regions = tuple(self._parse(maps))
            self._fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise ProfileError(
                f"cannot read the memory of the destination (process {pid}): {error.strerror}; "
                f"{_why_unreadable(pid)}. `migratable rehearse` needs no memory and works"
            ) from error
        self._starts = [region.start for region in self.regions]

    @staticmethod
    def _parse(lines: Iterator[str]) -> Iterator[Region]:
        for line in lines:
            match = _MAPS_LINE.match(line)
            if match is not None:
                yield Region(int(match[1], 16), int(match[2], 16), match[3], match[4])

    def __enter__(self) -> ProcessMemory:
        return self

    def __exit__(self, *_: object) -> None:
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
            for start, content in self._pieces(region, len(needle)):
                at = content.find(needle)
                while at >= 0:
                    yield start + at
                    at = content.find(needle, at + 1)

    def _pieces(self, region: Region, overlap: int) -> Iterator[tuple[int, bytes]]:
        """The bytes of a region; of a large one those parts in which any page is there."""
        if region.end - region.start <= LARGEST_REGION:
            yield region.start, self.content(region)
            return
        for start in range(region.start, region.end, _PIECE):
            if self._present(start, min(start + _PIECE, region.end)):
                size = min(_PIECE + overlap, region.end - start)
                try:
                    yield start, os.pread(self._fd, size, start)
                except OSError:
                    continue

    def _present(self, start: int, end: int) -> bool:
        try:
            with open(f"/proc/{self.pid}/pagemap", "rb", buffering=0) as pagemap:  # noqa: PTH123
                pagemap.seek(start // _PAGE * 8)
                data = pagemap.read((end - start) // _PAGE * 8)
        except OSError:
            return True
        return any(
            int.from_bytes(data[at : at + 8], sys.byteorder) & _PRESENT
            for at in range(0, len(data), 8)
        )

    def pack_pointer(self, address: int) -> bytes:
        """Return *address* as the process stores it."""
        return address.to_bytes(8, sys.byteorder)


def _need_64_bits(pid: int) -> None:
    """See that it is a 64-bit program.

    :raise ProfileError: when it is not, which has other tables.
    """
    try:
        with open(f"/proc/{pid}/exe", "rb") as file:  # noqa: PTH123
            ident = file.read(5)
    except OSError:
        return
    if ident == b"\x7fELF\x01":
        raise ProfileError(
            "the destination is a 32-bit program, whose tables cannot be read; "
            "`migratable rehearse` works"
        )


def _why_unreadable(pid: int) -> str:
    """The likely reason, with what helps."""
    if not os.path.isdir("/proc/self"):  # noqa: PTH112
        return "this machine has no /proc"
    try:
        path = os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115
    except OSError:
        return (
            "the program runs with more rights than its caller (setuid, file capabilities, or "
            "a file that is not readable)"
        )
    if not os.access(path, os.R_OK):
        return f"{path} is not readable"
    return "on a locked-down host allow ptrace of own children"
