"""Map guest-physical addresses to RAM blocks, as the destination reports them (HMP mtree)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_RANGE = re.compile(
    r"^\s+(?P<start>[0-9a-f]{16})-(?P<end>[0-9a-f]{16}) \(prio -?\d+, ram\): "
    r"(?P<name>.+?)(?: @(?P<offset>[0-9a-f]{16}))?(?: KVM)?$"
)
_LEGACY_END = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A run of guest-physical addresses that one RAM block answers.

    :ivar end: the last address of the run.
    :ivar offset: place of *start* in the block, bytes.
    """

    start: int
    end: int
    block: str
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMap:
    """The machine's RAM by guest-physical address, lowest first."""

    ranges: tuple[Range, ...]

    @property
    def main_block(self) -> str | None:
        """The block at address 0, None when there is no RAM."""
        first = self.ranges[0] if self.ranges else None
        return first.block if first is not None and first.start == 0 else None

    def locate(self, address: int) -> tuple[str, int] | None:
        """Block and offset in it of an address; None where there is no RAM."""
        for one in self.ranges:
            if one.start <= address <= one.end:
                return one.block, one.offset + address - one.start
        return None


def read_mtree(text: str, blocks: Iterable[str]) -> MemoryMap:
    """Read the answer of ``info mtree -f``: the flat view of address space ``memory``.

    Below 1 MiB a PC that never ran shows ROM in front of its RAM; once firmware has run there is
    RAM (``hw/pci-host/pam.c``), so that address range is given to the block at address 0.

    :param blocks: RAM block ids of the stream; regions that are none of them (option ROMs,
        graphics memory) are left out.
    """
    known = set(blocks)
    by_last = {name.rpartition("/")[2]: name for name in known}
    ranges: list[Range] = []
    wanted = False
    for line in text.splitlines():
        if line.startswith("FlatView"):
            if ranges:
                break
            wanted = False
        elif line.startswith(' AS "memory"'):
            wanted = True
        elif wanted and (match := _RANGE.match(line)):
            name = match["name"]
            block = name if name in known else by_last.get(name.rpartition("/")[2])
            if block is None:
                continue
            ranges.append(
                Range(
                    start=int(match["start"], 16),
                    end=int(match["end"], 16),
                    block=block,
                    offset=int(match["offset"] or "0", 16),
                )
            )
    ranges.sort(key=lambda one: one.start)
    if ranges and ranges[0].start == 0 and ranges[0].end < _LEGACY_END - 1:
        first = ranges[0]
        ranges[0] = Range(start=0, end=_LEGACY_END - 1, block=first.block, offset=first.offset)
    return MemoryMap(ranges=tuple(ranges))
