"""Which pages are made up or kept, and where: memory maps, rings, option ROM, IOMMU tables."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping

import pytest

from migratable.rehearse.guest_pages import keep
from migratable.rehearse.iommu import (
    IntelTables,
    TceTable,
    intel_tables,
    pci_address,
    tce_tables,
    translate_tce,
)
from migratable.rehearse.memory_map import MemoryMap, Range, read_mtree
from migratable.rehearse.rewrite import elide, has_ram, prepare
from migratable.stream import Command, CommandKind, RamBlock, Section, Stream, read, write
from migratable.stream.edit import full_section, make_stream
from migratable.stream.pages import find_pages, ram_end, ram_start

GIB = 1 << 30
MTREE = """\
FlatView #0
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-0000000000000007 (prio 0, i/o): dma-chan

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom
  0000000000100000-000000007fffffff (prio 0, ram): pc.ram @0000000000100000
  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram
  0000000100000000-000000027fffffff (prio 0, ram): pc.ram @0000000080000000

FlatView #2
 AS "memory2", root: other
  0000000000000000-000000000009ffff (prio 0, ram): other.ram
"""


def test_memory_map_of_a_pc() -> None:
    memory = read_mtree(MTREE, ["pc.ram", "0000:00:01.0/vga.vram"])
    assert memory.main_block == "pc.ram"
    assert memory.locate(0xC0000) == ("pc.ram", 0xC0000)  # RAM once firmware has run
    assert memory.locate(0x7FFFFFFF) == ("pc.ram", 0x7FFFFFFF)
    assert memory.locate(0x80000000) is None
    assert memory.locate(4 * GIB) == ("pc.ram", 2 * GIB)
    assert memory.locate(10 * GIB - 1) == ("pc.ram", 8 * GIB - 1)
    assert memory.locate(10 * GIB) is None


def test_memory_map_of_old_block_names() -> None:
    text = MTREE.replace("pc.ram", "r0")
    assert read_mtree(text, ["/objects/r0"]).main_block == "/objects/r0"
    assert read_mtree("", ["pc.ram"]).main_block is None


FLAT = MemoryMap(ranges=(Range(start=0, end=GIB - 1, block="pc.ram", offset=0),))


def with_ram(*sections: Section, pages: Mapping[int, bytes] | None = None) -> Stream:
    blocks = [RamBlock(id="pc.ram", used_length=GIB)]
    records = [("pc.ram", at, data) for at, data in (pages or {}).items()]
    return make_stream("pc-q35-7.2", [ram_start(blocks), ram_end(records), *sections])


def vapic(state: int, rom: int) -> Section:
    body = bytes(36 + 2 * 44) + struct.pack(">5I", state, 0, 0, 0, rom)
    return full_section("kvm-tpr-opt", 0, 1, body, section_id=9)


@pytest.mark.parametrize(("state", "rom"), [(1, 0xCA010), (2, 0xCA010), (0, 0xCA010)])
def test_option_rom_is_made_up_where_it_is_looked_for(state: int, rom: int) -> None:
    kept = keep(with_ram(vapic(state, rom)), FLAT)
    assert [(block, at) for block, at, _ in kept.pages] == [("pc.ram", 0xCA000)]
    assert kept.pages[0][2][:3] == b"\x55\xaa\x12"


def test_no_option_rom_for_a_guest_that_never_ran() -> None:
    assert keep(with_ram(vapic(0, 0)), FLAT).pages == ()


def test_tce_windows() -> None:
    entries = struct.pack(">4Q", 0x100003, 0, 0x200001, 0x300002)
    body = struct.pack(">IIB", 0x80000000, 4, 0) + entries + b"\1"
    first = full_section("spapr_iommu", 0x80000000, 3, body, section_id=1)
    name = b"spapr_iommu_ex"
    sub = b"\x05" + bytes([len(name)]) + name + struct.pack(">IQI", 1, 1 << 59, 24)
    body = struct.pack(">IIB", 0x80000001, 4, 0) + entries + b"\0" + sub
    second = full_section("spapr_iommu", 0x80000001, 3, body, section_id=2)
    tables = tce_tables(with_ram(first, second))
    assert [(one.bus_offset, one.page_shift) for one in tables] == [(0, 12), (1 << 59, 24)]
    device = "pci@800000020000000:02.0/virtio-blk"
    assert translate_tce(tables, device, 0x0123) == 0x100123
    assert translate_tce(tables, device, 0x1123) is None  # not mapped
    assert translate_tce(tables, device, 0x4000) is None  # past the table
    assert translate_tce(tables, device, (1 << 59) + 0x2000456) == 0x2000456 - 0x2000000
    other = "pci@800000020000001:02.0/virtio-blk"
    assert translate_tce(tables, other, 0x0123) is None


def test_tce_table_of_version_2() -> None:
    body = struct.pack(">IIB", 0x80000000, 1, 0) + struct.pack(">Q", 0x5003)
    section = full_section("spapr_iommu", 0x80000000, 2, body, section_id=1)
    assert tce_tables(with_ram(section))[0].translate(0xABC) == 0x5ABC


class Tables:
    """VT-d tables for bus 0, devfn 0x10: three levels, a 4 KiB and a 2 MiB page."""

    ROOT, CONTEXT, L3, L2, L1 = (0x1000 * n for n in range(1, 6))

    def __init__(self) -> None:
        self.pages = {at: bytearray(4096) for at in (0x1000 * n for n in range(1, 6))}
        self.put(self.ROOT, 0, self.CONTEXT | 1)
        self.put(self.CONTEXT, 2 * 0x10, self.L3 | 1)
        self.put(self.CONTEXT, 2 * 0x10 + 1, 1)  # 39 bits: three levels
        self.put(self.CONTEXT, 2 * 0x11, 1 | 2 << 2)  # passed through
        self.put(self.L3, 0, self.L2 | 3)
        self.put(self.L2, 0, self.L1 | 3)
        self.put(self.L2, 1, 0x0A00000 | 0x83)
        self.put(self.L1, 5, 0x77000 | 3)

    def put(self, page: int, index: int, value: int) -> None:
        struct.pack_into("<Q", self.pages[page], 8 * index, value)

    def find(self, wanted: Mapping[str, Collection[int]]) -> dict[tuple[str, int], bytes]:
        return {
            (block, at): bytes(self.pages[at])
            for block, places in wanted.items()
            for at in places
            if at in self.pages
        }


def test_intel_tables_are_walked() -> None:
    tables = Tables()
    iommu = IntelTables(root=tables.ROOT, memory=FLAT)
    iommu.load(tables.find)
    assert sorted(at for _, at in iommu.pages) == sorted(tables.pages)
    assert iommu.missing == 0
    assert iommu.translate(0, 0x10, 0x5123) == 0x77123
    assert iommu.translate(0, 0x10, 0x212345) == 0xA12345
    assert iommu.translate(0, 0x10, 0x6000) is None
    assert iommu.translate(0, 0x11, 0x6000) == 0x6000
    assert iommu.translate(0, 0x12, 0x6000) is None
    assert iommu.translate(1, 0x10, 0x5123) is None


def test_missing_intel_tables_are_a_doubt() -> None:
    tables = Tables()
    del tables.pages[tables.L1]
    body = struct.pack(">Q", tables.ROOT) + bytes(580) + b"\1\1\1\1"
    section = full_section("iommu-intel", 0, 1, body, section_id=3)
    stream = with_ram(section, pages={at: bytes(data) for at, data in tables.pages.items()})
    kept = keep(read(write(stream)), FLAT)
    assert len(kept.pages) == 4
    assert any("1 tables" in text for text in kept.doubts)
    off = full_section("iommu-intel", 0, 1, body[:-4] + bytes(4), section_id=3)
    assert intel_tables(with_ram(off), FLAT) is None


def test_pci_addresses_in_section_names() -> None:
    stream = with_ram()
    assert pci_address(stream, "0000:00:1f.2/ich9_ahci") == (0, 0xFA)
    assert pci_address(stream, "timer") is None
    assert pci_address(stream, "0000:00:10.0:00.0/virtio-net") is None  # bridge not there


def test_elided_stream_holds_the_pages_and_no_others() -> None:
    stream = with_ram(vapic(1, 0xCA000), pages={0x5000: b"\7" * 4096, 0xCA000: b"\1" * 4096})
    assert not has_ram(stream)
    sent = read(write(elide(stream, keep(stream, FLAT).pages)))
    found = find_pages(sent, {"pc.ram": [0x5000, 0xCA000]})
    assert list(found) == [("pc.ram", 0xCA000)]


def test_big_hash_page_table_is_not_announced() -> None:
    start = Section(
        kind=ram_start([]).kind,
        section_id=7,
        idstr="spapr/htab",
        instance_id=0,
        version_id=1,
        body=(29).to_bytes(4, "big"),
    )
    stream = make_stream("pseries-7.2", [start])
    found = elide(stream, ()).device("spapr/htab")
    assert found is not None
    assert int.from_bytes(found.body, "big") == 22
    for body in (b"\xff\xff\xff\xff", (21).to_bytes(4, "big"), (60).to_bytes(4, "big")):
        same = elide(make_stream("pseries-7.2", [_with(start, body)]), ()).device("spapr/htab")
        assert same is not None
        assert bytes(same.body) == body


def _with(section: Section, body: bytes) -> Section:
    from dataclasses import replace

    return replace(section, body=body)


def test_postcopy_handshake_goes_and_lone_commands_stay() -> None:
    device = full_section("timer", 0, 2, bytes(24), section_id=4)
    advise = Command(kind=CommandKind.POSTCOPY_ADVISE, payload=bytes(16))
    package = Command(
        kind=CommandKind.PACKAGED,
        payload=b"",
        nested=(
            Command(kind=CommandKind.POSTCOPY_LISTEN, payload=b""),
            device,
            Command(kind=CommandKind.POSTCOPY_RUN, payload=b""),
        ),
    )
    stream = make_stream("pc-q35-7.2", [advise, package])
    prepared = prepare(stream)
    assert prepared.stream.elements == (device,)
    assert prepared.unchecked
    ping = make_stream("pc-q35-7.2", [Command(kind=CommandKind.PING, payload=bytes(4))])
    assert prepare(ping).stream is ping


def test_window_of_a_table() -> None:
    table = TceTable(liobn=0, bus_offset=0x1000, page_shift=12, entries=memoryview(bytes(8)))
    assert table.translate(0x0FFF) is None
    assert table.translate(0x1000) is None
