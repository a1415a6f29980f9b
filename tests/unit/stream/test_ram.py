"""RAM: block lists, records, pages."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migratable.errors import StreamError
from migratable.stream import RamBlock, RamFlag, Section, SectionKind, read, write
from migratable.stream.cursor import Cursor, counted
from migratable.stream.edit import elide_ram, make_stream
from migratable.stream.pages import find_pages, ram_end, ram_start, records, xbzrle
from migratable.stream.ram import read_start
from migratable.stream.ram_walker import RamWalker, Window
from tests.unit.stream import tiny

EOS = int(RamFlag.EOS).to_bytes(8, "big")
BLOCKS = ["pc.ram", "rom", "0000:00:02.0/vga.vram"]


@st.composite
def bodies(draw: st.DrawFn) -> tuple[int, bytes, dict[str, list[int]]]:
    """A page size, records in it, and what they count to: normal, zero, xbzrle, compressed."""
    page_size = draw(st.sampled_from([1024, 2048, 4096, 8192, 65536]))
    out = bytearray()
    want: dict[str, list[int]] = {}
    last = None
    kinds = [RamFlag.PAGE, RamFlag.ZERO, RamFlag.XBZRLE, RamFlag.COMPRESS_PAGE]
    plan = draw(
        st.lists(
            st.tuples(
                st.sampled_from(BLOCKS),
                st.sampled_from([RamFlag.PAGE, RamFlag.ZERO, *kinds]),
                st.integers(1, 20),
            ),
            max_size=12,
        )
    )
    for block, kind, times in plan:
        # Two flags share a bit with the offset where pages have 1 KiB or less of flag space.
        for number in range(times):
            again = block == last
            flags = kind | (RamFlag.CONTINUE if again else 0)
            out += (number * page_size | flags).to_bytes(8, "big")
            out += b"" if again else counted(block)
            out += {
                RamFlag.PAGE: bytes([number]) * page_size,
                RamFlag.ZERO: b"\0",
                RamFlag.XBZRLE: b"\x01\0\x03abc",
                RamFlag.COMPRESS_PAGE: b"\0\0\0\x02zz",
            }[kind]
            want.setdefault(block, [0, 0, 0, 0])[kinds.index(kind)] += 1
            last = block
    return page_size, bytes(out) + EOS, want


@given(bodies())
def test_walk_counts_every_record(case: tuple[int, bytes, dict[str, list[int]]]) -> None:
    page_size, data, want = case
    walker = RamWalker(page_size)
    cursor = Cursor(data + b"rest")
    walker.section(cursor)
    assert cursor.remaining == 4
    assert want == {
        name: [count.normal, count.zero, count.xbzrle, count.compressed]
        for name, count in walker.statistics.blocks.items()
    }
    assert sum(count.bytes for count in walker.statistics.blocks.values()) == len(data) - 8


@given(bodies())
def test_walk_through_a_window_counts_the_same(
    tmp_path_factory: pytest.TempPathFactory, case: tuple[int, bytes, dict[str, list[int]]]
) -> None:
    page_size, data, want = case
    path = tmp_path_factory.mktemp("window", numbered=True) / "file"
    path.write_bytes(b"before" + data + b"after")
    with path.open("rb") as file:
        walker = RamWalker(page_size, Window(file.fileno(), 6))
        walker.section(Cursor(data))
    assert {name: count.normal for name, count in walker.statistics.blocks.items()} == {
        name: counts[0] for name, counts in want.items()
    }


def test_the_last_block_survives_the_section() -> None:
    walker = RamWalker(4096)
    head = RamFlag.ZERO.to_bytes(8, "big")
    again = (4096 | RamFlag.ZERO | RamFlag.CONTINUE).to_bytes(8, "big")
    walker.section(Cursor(head + counted("pc.ram") + b"\0" + EOS))
    walker.section(Cursor(again + b"\0" + EOS))
    assert walker.statistics.blocks["pc.ram"].zero == 2
    with pytest.raises(StreamError, match="none came before"):
        RamWalker(4096).section(Cursor(again + b"\0" + EOS))


@pytest.mark.parametrize("flags", [0x401, 0x80, 0x0A, 0x4, 0])
def test_unknown_flags(flags: int) -> None:
    with pytest.raises(StreamError, match="at byte 0"):
        RamWalker(4096).section(Cursor(flags.to_bytes(8, "big") + b"\0" * 100))


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"\A[a-z/.0-9:]{1,40}\Z"),
            st.integers(1, 1 << 20),
            st.sampled_from([None, 2 << 20, 1 << 30, 4096]),
        ),
        min_size=1,
        max_size=8,
    ),
    st.booleans(),
)
def test_block_lists_come_back(blocks: list[tuple[str, int, int | None]], with_gpa: bool) -> None:
    made = [
        RamBlock(
            id=name,
            used_length=pages * 4096,
            page_size=page_size,
            gpa=number << 32 if with_gpa else None,
        )
        for number, (name, pages, page_size) in enumerate(blocks)
    ]
    section = ram_start(made)
    assert read_start(section.cursor(), gpa=with_gpa).blocks == tuple(made)


def test_block_list_that_does_not_add_up() -> None:
    body = bytearray(ram_start([RamBlock(id="pc.ram", used_length=8192)]).body)
    body[6:8] = (0x1004).to_bytes(2, "big")
    with pytest.raises(StreamError, match="8192 bytes; 4096 bytes of the total are left"):
        read_start(Cursor(bytes(body)))


def test_pages_last_contents() -> None:
    first, second = b"1" * 4096, b"2" * 4096
    data = write(
        make_stream(
            "pc",
            [
                ram_start([RamBlock(id="pc.ram", used_length=1 << 20)]),
                ram_end([("pc.ram", 0, first), ("pc.ram", 8192, first), ("pc.ram", 0, second)]),
            ],
        )
    )
    stream = read(data)
    assert [(one.page, one.kind) for one in records(stream)] == [
        (0, RamFlag.PAGE),
        (8192, RamFlag.PAGE),
        (0, RamFlag.PAGE),
    ]
    found = find_pages(stream, {"pc.ram": [0, 4096]})
    assert found == {("pc.ram", 0): second}


def test_encoded_pages() -> None:
    body = bytearray()
    for flag, rest in (
        (RamFlag.PAGE, counted("r") + b"a" * 4096),
        (RamFlag.XBZRLE | RamFlag.CONTINUE, b"\x01\0\x04\x02\x02XY"),
    ):
        body += flag.to_bytes(8, "big") + rest
    packed = zlib.compress(b"z" * 4096)
    body += (4096 | RamFlag.COMPRESS_PAGE | RamFlag.CONTINUE).to_bytes(8, "big")
    body += len(packed).to_bytes(4, "big") + packed + EOS
    start = ram_start([RamBlock(id="r", used_length=8192)])
    part = Section(
        kind=SectionKind.END,
        section_id=start.section_id,
        idstr="ram",
        instance_id=0,
        version_id=4,
        body=bytes(body),
    )
    stream = read(write(make_stream("pc", [start, part])))
    found = find_pages(stream, {"r": [0, 4096]})
    assert found["r", 0] == b"aaXY" + b"a" * 4092
    assert found["r", 4096] == b"z" * 4096


@pytest.mark.parametrize("encoded", [b"\x00\x7f" + b"x" * 10, b"\xff\x7f\x05abcde", b"\x80"])
def test_xbzrle_that_leaves_the_page(encoded: bytes) -> None:
    with pytest.raises(StreamError):
        xbzrle(bytes(16), encoded)


def test_elided_streams_keep_what_is_asked_for() -> None:
    page = bytes(range(256)) * 16
    stream = tiny.stream(pages=(("pc.ram", 0, b"x" * 4096), ("pc.ram", 4096, page)))
    kept = find_pages(stream, {"pc.ram": [4096]})
    small = elide_ram(stream, [(block, at, data) for (block, at), data in kept.items()])
    again = read(write(small))
    assert find_pages(again, {"pc.ram": [0, 4096]}) == kept
    assert [one.idstr for one in again.devices] == [one.idstr for one in stream.devices]
    assert again.vmdesc is not None


def test_mapped_ram(tmp_path: Path) -> None:
    """A mapped-ram file: pages at fixed places inside the block list (``mapped_ram_setup``)."""
    head = b"QEVM\0\0\0\3\x07\0\0\0\2pc\x05\x1aconfiguration/capabilities"
    head += b"\0\0\0\1\0\0\0\1\x0amapped-ram"
    head += b"\x01\0\0\0\2\x03ram\0\0\0\0\0\0\0\4" + (4 * 4096 | 4).to_bytes(8, "big")
    data = bytearray(head + counted("pc.ram") + (4 * 4096).to_bytes(8, "big"))
    bitmap = len(data) + 28
    data += (1).to_bytes(4, "big") + (4096).to_bytes(8, "big")
    data += bitmap.to_bytes(8, "big") + (8192).to_bytes(8, "big")
    data += bytes([0b0101]).ljust(8, b"\0")
    data = data.ljust(8192, b"\0") + b"A" * 4096 + bytes(4096) + b"C" * 4096 + bytes(4096)
    data += EOS + b"\x7e\0\0\0\2" + b"\0"
    stream = read(bytes(data))
    assert write(stream) == data
    found = find_pages(stream, {"pc.ram": [0, 4096, 8192]})
    assert [found["pc.ram", at][:1] for at in (0, 4096, 8192)] == [b"A", b"\0", b"C"]
    small = read(write(elide_ram(stream)))
    assert small.ram_blocks == (RamBlock(id="pc.ram", used_length=16384),)
    assert small.configuration is not None and small.configuration.capabilities == ()
    with pytest.raises(StreamError, match="past the file's end"):
        read(bytes(data[:12000]))
