"""Addresses that virtio devices use behind a virtual IOMMU, turned into guest-physical ones.

pseries: the TCE tables are in the stream (``spapr_iommu``, ``hw/ppc/spapr_iommu.c``)::

    body = u32 liobn, u32 nb_table, u8 bypass, nb_table * u64 TCE [, u8 def_win]      (version 2, 3)
           [subsection spapr_iommu_ex: u64 bus_offset, u32 page_shift]

Intel: the section ``iommu-intel`` has only the address of the root table; root, context and
second-level tables are in guest memory, and the loader walks them there, so they must be kept
(``hw/i386/intel_iommu.c``, legacy mode).

virtio: domains with their mappings are in the section ``virtio-iommu`` itself.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from migratable.errors import StreamError
from migratable.rehearse.memory_map import MemoryMap
from migratable.stream import Section, Stream
from migratable.stream.cursor import counted
from migratable.stream.decoded import Body, Field
from migratable.stream.fields import decode
from migratable.stream.non_vmstate import virtio_of

PAGE = 4096
_MASK = PAGE - 1
_LIOBN_PHB = 0x80000000
_PHB_BUID = 0x800000020000000
_MAX_TABLES = 200_000
_ADDRESS = 0x000FFFFFFFFFF000

Pages = Callable[[Mapping[str, Collection[int]]], Mapping[tuple[str, int], bytes]]
"""Block id to page offsets gives contents by block and offset; missing pages are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TceTable:
    """One DMA window of a pseries PCI host bridge."""

    liobn: int
    bus_offset: int
    page_shift: int
    entries: memoryview

    def translate(self, address: int) -> int | None:
        """Guest-physical address, None when the window has none for it."""
        index = (address - self.bus_offset) >> self.page_shift
        if address < self.bus_offset or index * 8 + 8 > len(self.entries):
            return None
        entry = int.from_bytes(self.entries[index * 8 : index * 8 + 8], "big")
        if not entry & 3:
            return None
        low = (1 << self.page_shift) - 1
        return (entry & ~low) | (address & low)


def tce_tables(stream: Stream) -> tuple[TceTable, ...]:
    """All DMA windows of a pseries stream."""
    return tuple(_tce(device) for device in stream.devices if device.idstr == "spapr_iommu")


def _tce(section: Section) -> TceTable:
    cursor = section.cursor()
    liobn, count = cursor.u32(), cursor.u32()
    cursor.skip(1)
    entries = cursor.view(8 * count)
    if section.version_id >= 3:
        cursor.skip(1)
    offset, shift = 0, 12
    name = counted("spapr_iommu_ex")
    rest = bytes(cursor.view(cursor.remaining))
    head = b"\x05" + name
    if rest.startswith(head) and len(rest) >= len(head) + 16:
        offset, shift = struct.unpack(">QI", rest[len(head) + 4 : len(head) + 16])
    return TceTable(liobn=liobn, bus_offset=offset, page_shift=shift, entries=memoryview(entries))


def translate_tce(tables: Collection[TceTable], idstr: str, address: int) -> int | None:
    """Translate for a device by its section's name, ``pci@800000020000000:08.0/virtio-blk``."""
    match = re.match(r"pci@([0-9a-f]+):", idstr)
    bridge = int(match[1], 16) - _PHB_BUID if match else 0
    for table in tables:
        if table.liobn >> 8 != (_LIOBN_PHB >> 8 | bridge):
            continue
        physical = table.translate(address)
        if physical is not None:
            return physical
    return None


@dataclass(slots=True, kw_only=True)
class IntelTables:
    """The tables of an Intel IOMMU that a guest has switched on.

    :ivar root: address of the root table, None when only interrupts are remapped.
    :ivar interrupts: address of the interrupt remapping table, of *interrupt_bytes*.
    :ivar pages: contents of all table pages by block and offset; they must be in the stream.
    :ivar missing: table pages that the stream does not hold.
    """

    root: int | None
    memory: MemoryMap
    scalable: bool = False
    interrupts: int = 0
    interrupt_bytes: int = 0
    pages: dict[tuple[str, int], bytes] = field(default_factory=dict)
    missing: int = 0
    _by_address: dict[int, bytes] = field(default_factory=dict)

    def load(self, find: Pages) -> None:
        """Read interrupt remapping table, root, contexts and second-level tables."""
        self._read([self.interrupts + at for at in range(0, self.interrupt_bytes, PAGE)], find)
        if self.root is None:
            return
        self._read([self.root], find)
        contexts = [low & _ADDRESS for low, _ in self._wide(self.root) if low & 1]
        self._read(contexts, find)
        tables: dict[int, int] = {}
        for context in contexts:
            for low, high in self._wide(context):
                if low & 1 and (low >> 2) & 3 != 2:
                    tables[low & _ADDRESS] = 2 + (high & 7)
        while tables:
            self._read(tables, find)
            following: dict[int, int] = {}
            for address, level in tables.items():
                if level > 1:
                    for entry in self._narrow(address):
                        if entry & 3 and not entry & 0x80:
                            following[entry & _ADDRESS] = level - 1
            tables = {at: level for at, level in following.items() if at not in self._by_address}
            if len(self.pages) > _MAX_TABLES:
                raise StreamError(f"more than {_MAX_TABLES} IOMMU tables", path="'iommu-intel'")

    def _read(self, addresses: Collection[int], find: Pages) -> None:
        places = {at: self.memory.locate(at) for at in set(addresses) - set(self._by_address)}
        wanted: dict[str, list[int]] = {}
        for place in places.values():
            if place is not None:
                wanted.setdefault(place[0], []).append(place[1])
        found = find(wanted)
        for address, place in places.items():
            data = None if place is None else found.get(place)
            if data is None or place is None:
                self.missing += 1
                continue
            self._by_address[address] = self.pages[place] = data

    def _wide(self, address: int) -> Iterator[tuple[int, int]]:
        data = self._by_address.get(address)
        return iter(()) if data is None else struct.iter_unpack("<QQ", data)

    def _narrow(self, address: int) -> Iterator[int]:
        data = self._by_address.get(address)
        return iter(()) if data is None else (one for (one,) in struct.iter_unpack("<Q", data))

    def translate(self, bus: int, devfn: int, address: int) -> int | None:
        """Guest-physical address for a device's IOVA; None when it is not mapped."""
        if self.root is None:
            return address
        entry = self._pair(self.root, bus)
        if entry is None or not entry[0] & 1:
            return None
        context = self._pair(entry[0] & _ADDRESS, devfn)
        if context is None or not context[0] & 1:
            return None
        low, high = context
        if (low >> 2) & 3 == 2:  # passed through
            return address
        table, level = low & _ADDRESS, 2 + (high & 7)
        while True:
            data = self._by_address.get(table)
            if data is None:
                return None
            shift = 12 + 9 * (level - 1)
            at = (address >> shift & 511) * 8
            entry_bits = int.from_bytes(data[at : at + 8], "little")
            if not entry_bits & 3:
                return None
            if level == 1 or entry_bits & 0x80:
                mask = (1 << shift) - 1
                return (entry_bits & _ADDRESS & ~mask) | (address & mask)
            table, level = entry_bits & _ADDRESS, level - 1

    def _pair(self, address: int, index: int) -> tuple[int, int] | None:
        data = self._by_address.get(address)
        if data is None:
            return None
        low, high = struct.unpack_from("<QQ", data, 16 * index)
        return int(low), int(high)


def intel_tables(stream: Stream, memory: MemoryMap) -> IntelTables | None:
    """The IOMMU of a stream whose guest has it on; None when there is none, or it is off."""
    section = stream.device("iommu-intel")
    if section is None:
        return None
    if len(section.body) < 44:
        return None  # malformed; the loader will say so
    root, interrupts, _, entries = struct.unpack_from(">QQQI", section.body)
    translating, _, remapping, _ = bytes(section.body[-4:])
    if not translating and not remapping:
        return None
    # Bit 10 (VTD_RTADDR_SMT): scalable mode; its tables have another form.
    return IntelTables(
        root=root & ~_MASK if translating else None,
        memory=memory,
        scalable=bool(translating and root >> 10 & 1),
        interrupts=interrupts & ~_MASK,
        interrupt_bytes=16 * min(entries, 1 << 16) if remapping else 0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtioIommu:
    """The mappings of a virtio-iommu, which are in its section (``hw/virtio/virtio-iommu.c``).

    :ivar domains: by endpoint (bus and devfn) its mappings: low, high, guest-physical address;
        None for a domain in bypass.
    """

    domains: Mapping[int, tuple[tuple[int, int, int], ...] | None]

    def translate(self, bus: int, devfn: int, address: int) -> int | None:
        """Guest-physical address for a device's; that of an endpoint without domain is its own."""
        mappings = self.domains.get(bus << 8 | devfn)
        if mappings is None:
            return address
        for low, high, physical in mappings:
            if low <= address <= high:
                return physical + address - low
        return None


def virtio_iommu(stream: Stream) -> VirtioIommu | None:
    """The virtio-iommu of a stream; None when there is none, or its state is of unknown form."""
    for section in stream.devices:
        if section.idstr.endswith("/virtio-iommu"):
            device = virtio_of(section)
            field = None if device is None else device.body.field("device", "domains")
            if field is not None:
                return VirtioIommu(domains=_domains(field))
    return None


def _domains(field: Field) -> dict[int, tuple[tuple[int, int, int], ...] | None]:
    found: dict[int, tuple[tuple[int, int, int], ...] | None] = {}
    for domain in field.children:
        mappings = domain.field("mappings")
        ranges = tuple(
            (_number(child, "low"), _number(child, "high"), _number(child, "phys_addr"))
            for child in (mappings.children if mappings else ())
        )
        endpoints = domain.field("endpoint_list")
        for endpoint in endpoints.children if endpoints else ():
            bypass = domain.value("bypass")
            found[_number(endpoint, "id")] = None if bypass else ranges
    return found


def _number(body: Body, name: str) -> int:
    value = body.value(name)
    return value if isinstance(value, int) else 0


def pci_address(stream: Stream, idstr: str) -> tuple[int, int] | None:
    """Bus number and devfn of a PCI device by its section's name.

    ``0000:00:1f.2/…`` is on the root bus; in ``0000:00:10.0:00.0/…`` the device is behind the
    bridge at 10.0, whose configuration (in its own section) has the bus number that firmware gave.
    """
    path = idstr.rpartition("/")[0]
    match = re.fullmatch(r"[0-9a-f]{4}:([0-9a-f]{2})((?::[0-9a-f]{2}\.[0-7])+)", path)
    if match is None:
        return None
    slots = match[2].split(":")[1:]
    slot, function = slots[-1].split(".")
    devfn = int(slot, 16) << 3 | int(function)
    if len(slots) == 1:
        return int(match[1], 16), devfn
    bridge = path[: -len(slots[-1]) - 1] + "/"
    for section in stream.devices:
        if section.idstr.startswith(bridge):
            config = _pci_config(decode(section))
            if config is not None:
                return config[0x19], devfn  # PCI_SECONDARY_BUS
    return None


def _pci_config(body: Body) -> memoryview | None:
    for one in body.fields:
        if one.type == "pci config" and isinstance(one.value, memoryview):
            return one.value
        for child in one.children:
            config = _pci_config(child)
            if config is not None:
                return config
    return None
