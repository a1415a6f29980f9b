"""The few RAM pages that loaders read: generated from the device state, or kept.

What loaders read was measured over 26 controllers of guests that had run, on 5.2 to 11.1:

* virtio: the index words of each split ring's available and used part (``virtio_load``). Made up:
  both equal to ``last_avail_idx``, that is, nothing is in flight.
* x86 ``kvm-tpr-opt`` after SeaBIOS has run: one byte of an option ROM, its size
  (``vapic_map_rom_writable``, ``hw/i386/vapic.c``). Made up: a ROM header.
* whatever is behind an Intel IOMMU that the guest has on: root, context and second-level
  tables, and for its interrupts the remapping table. Kept: these cannot be derived.

Nothing else of guest memory decides about loading, so the cost does not grow with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from migratable.errors import StreamError
from migratable.rehearse.iommu import (
    PAGE,
    IntelTables,
    VirtioIommu,
    intel_tables,
    pci_address,
    tce_tables,
    translate_tce,
    virtio_iommu,
)
from migratable.rehearse.memory_map import MemoryMap
from migratable.rehearse.page_index import PageIndex
from migratable.stream import Section, Stream
from migratable.stream.non_vmstate import virtio_of
from migratable.stream.virtio import Virtio

_ROM_BLOCK = 512
_VAPIC_SIZE = 36 + 2 * 44 + 20  # vmstate_vapic: guest ROM state, two handlers, five words
_ACCESS_PLATFORM = 33
_LITTLE, _BIG = 1, 2

Page = tuple[str, int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """RAM pages for the rewritten stream.

    :ivar pages: block, offset, contents; sorted.
    :ivar doubts: what could not be kept or made up, and so makes a refusal doubtful, in words.
    """

    pages: tuple[Page, ...] = ()
    doubts: tuple[str, ...] = ()


def keep(stream: Stream, memory: MemoryMap) -> Kept:
    """Work out the pages that a loader will read.

    :param memory: where addresses are in RAM blocks, from the destination.
    :raise StreamError: When RAM records that are needed cannot be read.
    """
    work = _Work(stream, memory)
    for section in stream.devices:
        if section.idstr == "kvm-tpr-opt":
            work.option_rom(section)
        else:
            work.rings(section)
    return work.done()


class _Work:
    def __init__(self, stream: Stream, memory: MemoryMap) -> None:
        self._stream = stream
        self._memory = memory
        self._pages: dict[tuple[str, int], bytearray] = {}
        self._doubts: dict[str, None] = {}
        self._tce = tce_tables(stream)
        self._unknown_iommu = False
        self._iommu: IntelTables | VirtioIommu | None = self._intel_tables() or self._virtio_iommu()

    def done(self) -> Kept:
        pages = [(block, at, bytes(data)) for (block, at), data in sorted(self._pages.items())]
        return Kept(pages=tuple(pages), doubts=tuple(self._doubts))

    def _intel_tables(self) -> IntelTables | None:
        tables = intel_tables(self._stream, self._memory)
        if tables is None:
            return None
        if tables.scalable:
            self._unknown_iommu = True
            self._doubts["the guest's IOMMU (iommu-intel) is in scalable mode"] = None
            return None
        tables.load(PageIndex(self._stream).find)
        if tables.missing:
            text = f"{tables.missing} tables of the guest's IOMMU (iommu-intel) are not in it"
            self._doubts[text] = None
        for place, data in tables.pages.items():
            self._pages[place] = bytearray(data)
        return tables

    def _virtio_iommu(self) -> VirtioIommu | None:
        try:
            return virtio_iommu(self._stream)
        except StreamError:
            self._unknown_iommu = True
            self._doubts["the state of the guest's IOMMU (virtio-iommu) is of unknown form"] = None
            return None

    # The option ROM

    def option_rom(self, section: Section) -> None:
        """Put a ROM header where ``kvm-tpr-opt`` looks for the ROM's size."""
        body = section.body
        if len(body) < _VAPIC_SIZE:
            return  # malformed; the loader will say so
        state = int.from_bytes(body[-20:-16], "big")
        address = int.from_bytes(body[-4:], "big") & ~(_ROM_BLOCK - 1)
        if state or address:
            self._write(address, b"\x55\xaa\x12")

    # Rings

    def rings(self, section: Section) -> None:
        """Make up the two index words of every split ring of a virtio device."""
        try:
            device = virtio_of(section)
        except StreamError:
            self._doubts[f"the rings of {section.idstr!r}, whose state is of unknown form"] = None
            return
        if device is None or device.packed:
            return
        order = self._byte_order(device)
        for queue in device.queues:
            if not queue.desc or not queue.num:
                continue
            index = queue.last_avail_idx.to_bytes(2, order)
            for address in (queue.avail_address + 2, queue.used_address + 2):
                physical = self._physical(section, device, address)
                if physical is not None:
                    self._write(physical, index)

    def _byte_order(self, device: Virtio) -> Literal["little", "big"]:
        """Of the rings: VERSION_1 is little-endian, else as the driver (``virtio-access.h``)."""
        if device.modern:
            return "little"
        endian = device.body.subsection("virtio/device_endian")
        value = None if endian is None else endian.value("device_endian")
        if value in (_LITTLE, _BIG):
            return "little" if value == _LITTLE else "big"
        return "big" if self._tce else "little"

    def _physical(self, section: Section, device: Virtio, address: int) -> int | None:
        if not device.guest_features >> _ACCESS_PLATFORM & 1:
            return address
        if self._tce:
            physical = translate_tce(self._tce, section.idstr, address)
        elif self._iommu is not None:
            where = pci_address(self._stream, section.idstr)
            physical = None if where is None else self._iommu.translate(*where, address)
        elif self._unknown_iommu:
            physical = None
        else:  # no IOMMU: the platform's addresses are the guest's own
            return address
        if physical is None:
            self._doubts[f"rings of {section.idstr!r}, which are behind an IOMMU"] = None
        return physical

    def _write(self, address: int, data: bytes) -> None:
        for at, byte in zip(range(address, address + len(data)), data, strict=True):
            place = self._memory.locate(at)
            if place is None:
                return
            block, offset = place
            page = self._pages.setdefault((block, offset & -PAGE), bytearray(PAGE))
            page[offset & PAGE - 1] = byte


def total(pages: Iterable[Page]) -> int:
    """Bytes of these pages."""
    return sum(len(data) for _, _, data in pages)
