"""The pages of guest memory that a loader reads, for a stream that carries no others.

===================  =============================================================================
``kvm-tpr-opt``      x86: the option ROM window 0xC0000 to 0xFFFFF, from which the loader finds its
                     ROM again (``hw/i386/kvmvapic.c`` ``vapic_prepare``); taken from the VM
split virtqueues     ``avail->idx`` and ``used->idx`` of each queue in use (``hw/virtio/virtio.c``
                     ``virtio_load``); made up as "nothing in flight", because by the time they
                     could be read the guest has gone on
vIOMMU               its tables, through which the above is found: pseries has them in the stream
                     (``spapr_iommu``), intel-iommu in guest memory, which is taken from the VM
===================  =============================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from migratable.capture.assemble import Page
from migratable.errors import MigratableError
from migratable.stream import Section, Stream
from migratable.stream.cursor import Cursor
from migratable.stream.handlers import virtio_of
from migratable.stream.virtio import Queue, Virtio

PAGE = 4096
OPTION_ROMS = 0xC0000, 0x100000
ReadMemory = Callable[[int, int], bytes]
"""Guest-physical address and size to contents."""

_RANGE = re.compile(
    r"^ +(?P<first>[0-9a-f]{16})-(?P<last>[0-9a-f]{16}) \(prio -?\d+, ram\): (?P<name>\S+)"
    r"(?: @(?P<offset>[0-9a-f]+))?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRange:
    """A range of guest-physical addresses and the block behind it."""

    start: int
    size: int
    block: str
    offset: int


def memory_map(mtree: str, blocks: Sequence[str]) -> tuple[MemoryRange, ...]:
    """Where RAM blocks are in the guest's memory, from ``info mtree -f``.

    Regions have a block's name without the path of the device that owns it.
    """
    found: list[MemoryRange] = []
    inside = False
    for line in mtree.splitlines():
        if line.startswith("FlatView"):
            if inside and found:
                break
            inside = False
        elif line.startswith(' AS "memory"'):
            inside = True
        match = _RANGE.match(line) if inside else None
        if match is None:
            continue
        name = match["name"]
        block = next((one for one in blocks if one == name or one.endswith(f"/{name}")), None)
        if block is not None:
            start = int(match["first"], 16)
            found.append(
                MemoryRange(
                    start=start,
                    size=int(match["last"], 16) + 1 - start,
                    block=block,
                    offset=int(match["offset"] or "0", 16),
                )
            )
    return tuple(found)


class LoaderPages:
    """Collects the pages of one VM.

    :ivar unchecked: what a loader would read and could not be found.
    """

    def __init__(
        self, ranges: Sequence[MemoryRange], read: ReadMemory, *, big_endian: bool = False
    ) -> None:
        """Begin with none.

        :param big_endian: the target's byte order, which legacy virtio devices have.
        """
        self._big = big_endian
        self._ranges = ranges
        self._read = read
        self._pages: dict[tuple[str, int], bytearray] = {}
        self.unchecked: list[str] = []

    def collect(self, stream: Stream) -> list[Page]:
        """All pages that loaders of *stream* read."""
        if stream.device("kvm-tpr-opt") is not None:
            self._option_roms()
        tables = _tce_tables(stream)
        for section in stream.devices:
            try:
                found = virtio_of(section)
            except MigratableError as error:
                self.unchecked.append(f"the rings of {section.name}: {error}")
                continue
            if found is not None and not found.packed:
                self._rings(section, found, tables)
        return [(block, offset, bytes(data)) for (block, offset), data in self._pages.items()]

    def _option_roms(self) -> None:
        main = self._block(0)
        if main is None:
            self.unchecked.append("the option ROMs in memory: where RAM is was not found")
            return
        begin, end = OPTION_ROMS
        data = self._read(begin, end - begin)
        for address in range(begin, end, PAGE):
            page = data[address - begin : address - begin + PAGE]
            self._pages[main[0], main[1] + address] = bytearray(page)

    def _rings(self, section: Section, found: Virtio, tables: Sequence[TceTable]) -> None:
        order = byte_order(found, big_target=self._big)
        for number, queue in enumerate(found.queues):
            if not queue.desc:
                continue
            for address in (queue.avail_address + 2, queue.used_address + 2):
                place = address
                if found.guest_features >> 33 & 1:  # ACCESS_PLATFORM: behind an IOMMU
                    translated = _translate(address, tables)
                    if translated is None:
                        self.unchecked.append(f"ring {number} of {section.name}: behind a vIOMMU")
                        break
                    place = translated
                if not self._put(place, _index(queue, order)):
                    self.unchecked.append(f"ring {number} of {section.name}: at {place:#x}, no RAM")
                    break

    def _put(self, address: int, data: bytes) -> bool:
        where = self._block(address & -PAGE)
        if where is None:
            return False
        page = self._pages.setdefault(where, bytearray(PAGE))
        at = address % PAGE
        page[at : at + len(data)] = data
        return True

    def _block(self, address: int) -> tuple[str, int] | None:
        for one in self._ranges:
            if one.start <= address < one.start + one.size:
                return one.block, one.offset + address - one.start
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class TceTable:
    """A DMA window of a pseries PHB: I/O addresses to guest addresses, one entry a page."""

    bus_offset: int
    page_shift: int
    entries: memoryview

    def translate(self, address: int) -> int | None:
        """The guest address, None when the window does not map it."""
        index = (address - self.bus_offset) >> self.page_shift
        if not 0 <= index < len(self.entries) // 8:
            return None
        entry = int.from_bytes(self.entries[8 * index : 8 * index + 8], "big")
        low = (1 << self.page_shift) - 1
        return (entry & ~low) | (address & low) if entry & 3 else None


def _tce_tables(stream: Stream) -> list[TceTable]:
    """All tables in ``spapr_iommu`` sections (``hw/ppc/spapr_iommu.c``)."""
    found = []
    for section in stream.devices:
        if section.idstr != "spapr_iommu":
            continue
        cursor: Cursor = section.cursor()
        cursor.skip(4)  # liobn
        count = cursor.u32()
        cursor.skip(1)  # bypass
        entries = memoryview(cursor.view(8 * count))
        cursor.skip(1 if section.version_id >= 3 else 0)  # def_win
        offset, shift = 0, 12
        if cursor.remaining and cursor.u8() == 5 and cursor.counted() == "spapr_iommu_ex":
            cursor.skip(4)
            offset, shift = cursor.u64(), cursor.u32()
        if 9 < shift < 40:
            found.append(TceTable(bus_offset=offset, page_shift=shift, entries=entries))
    return found


def _translate(address: int, tables: Sequence[TceTable]) -> int | None:
    for table in tables:
        found = table.translate(address)
        if found is not None:
            return found
    return None


def _index(queue: Queue, order: Literal["big", "little"]) -> bytes:
    """Both indices as they are when nothing is in flight."""
    return queue.last_avail_idx.to_bytes(2, order)


def byte_order(found: Virtio, *, big_target: bool) -> Literal["big", "little"]:
    """``big`` or ``little``: how a device's rings are written.

    Modern devices are little-endian; a legacy one is as its guest was when it reset the device
    (``virtio/device_endian``, sent when that is not the target's default).
    """
    if found.modern:
        return "little"
    named = {sub.name: sub for sub in found.body.subsections}
    sub = named.get("virtio/device_endian")
    if sub is not None:
        return "big" if sub.value("device_endian") == 2 else "little"
    return "big" if big_target else "little"
