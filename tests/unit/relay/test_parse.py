"""Where RAM ends, in streams of real QEMUs that arrive in any pieces."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migratable.errors import StreamError
from migratable.relay.arriving import SourceEndedError
from migratable.relay.parse import UnsupportedError
from migratable.stream import Command, CommandKind, RamFlag, SectionKind, write
from migratable.stream.cursor import counted
from migratable.stream.edit import full_section, make_stream
from migratable.stream.model import Section
from migratable.stream.pages import ram_end, ram_start
from migratable.stream.ram import RamBlock
from tests.unit.relay.arriving import Reading, golden, golden_stream

NAMES = [
    "10.0-pc-nofoot",
    "10.0-q35",
    "11.1-pc-nodesc",
    "11.1-q35",
    "4.1-pc-q35-4.1",
    "4.1-pseries-4.1-dual",
    "5.2-pc-noconf",
    "7.2-pseries",
    "7.2-q35",
]
ITERATED = {SectionKind.PART, SectionKind.END}
#: A small machine with two RAM blocks; its pages are of three kinds.
BLOCKS = (
    RamBlock(id="pc.ram", used_length=1 << 20),
    RamBlock(id="vga", used_length=8192, page_size=8192),
)


def _records(*, end: bool) -> Section:
    page = bytes(range(256)) * 16

    def record(flags: RamFlag, offset: int, rest: bytes) -> bytes:
        return (offset | flags).to_bytes(8, "big") + rest

    more = RamFlag.CONTINUE
    delta = b"\x01\x00\x03\x02\x01\xaa"
    body = (
        record(RamFlag.PAGE, 0, counted("pc.ram") + page)
        + b"".join(record(RamFlag.PAGE | more, 4096 * n, page) for n in range(1, 5))
        + record(RamFlag.ZERO | more, 0x5000, b"\0")
        + record(RamFlag.XBZRLE | more, 0x6000, delta)
        + record(RamFlag.COMPRESS_PAGE | more, 0x7000, b"\0\0\0\x05abcde")
        + record(RamFlag.ZERO, 4096, counted("vga") + b"\0")
        + record(RamFlag.EOS, 0, b"")
    )
    kind = SectionKind.END if end else SectionKind.PART
    return replace(ram_end((), section_id=2, footer=True), kind=kind, body=body)


def small(*, early: bool = False) -> bytes:
    device = full_section("timer", 0, 2, b"\x11" * 24, section_id=4)
    first = full_section("virtio-mem-early", 0, 1, b"\x7e\0\0\0\x07??", section_id=7)
    elements = [
        *([first] if early else []),
        ram_start(BLOCKS, section_id=2, footer=True),
        _records(end=False),
        _records(end=True),
        device,
    ]
    return write(make_stream("pc-q35-10.0", elements))


@pytest.mark.parametrize("name", NAMES)
def test_stops_at_the_device_state(name: str) -> None:
    stream = golden_stream(name)
    reading = Reading(golden(name), itertools.repeat(4096))
    reading.parser.run()
    reading.cursor.flush()
    rounds = [one for one in stream.sections if one.kind in ITERATED]
    state = next(
        one
        for one in stream.sections
        if one.kind is SectionKind.FULL and (one.offset or 0) > (rounds[-1].offset or 0)
    )
    assert reading.cursor.offset == len(reading.passed) == state.offset
    assert bytes(reading.passed) == golden(name)[: state.offset]
    assert reading.before_ram == rounds[0].offset
    assert reading.parser.rounds == len(rounds)
    assert reading.parser.footers == rounds[0].footer
    assert reading.parser.ram == stream.ram
    walker, expected = reading.parser.walker, stream.ram_statistics
    assert walker is not None
    assert expected is not None
    assert walker.statistics.blocks == expected.blocks


@pytest.mark.parametrize("name", ["10.0-q35", "7.2-pseries"])
@given(lengths=st.lists(st.integers(min_value=1, max_value=9000), min_size=1, max_size=40))
@settings(max_examples=25)
def test_any_pieces(name: str, lengths: list[int]) -> None:
    whole = Reading(golden(name), itertools.repeat(1 << 20))
    whole.parser.run()
    torn = Reading(golden(name), itertools.cycle(lengths), size=16 << 10)
    torn.parser.run()
    torn.cursor.flush()
    assert torn.cursor.offset == whole.cursor.offset
    assert bytes(torn.passed) == golden(name)[: whole.cursor.offset]
    assert torn.first == whole.first
    assert torn.before_ram == whole.before_ram


@pytest.mark.parametrize("early", [False, True])
def test_torn_at_every_byte(early: bool) -> None:
    data = small(early=early)
    expected = Reading(data, itertools.repeat(len(data)))
    expected.parser.run()
    place = expected.cursor.offset
    assert data[place : place + 1] == b"\x04"
    for cut in [*range(1, 300), *range(300, place, 61), *range(place - 60, place + 20)]:
        reading = Reading(data, iter([cut]), size=16 << 10)
        reading.parser.run()
        reading.cursor.flush()
        assert reading.cursor.offset == place
        assert bytes(reading.passed) == data[:place]
        assert reading.parser.ram == expected.parser.ram
        assert reading.parser.ram is not None
        assert reading.parser.ram.blocks[1].page_size == 8192


def test_byte_by_byte() -> None:
    data = small(early=True)
    reading = Reading(data, itertools.repeat(1), size=8 << 10)
    reading.parser.run()
    assert data[reading.cursor.offset :].startswith(b"\x04\0\0\0\x04\x05timer")


def test_one_kind_of_page_each() -> None:
    reading = Reading(small(), itertools.repeat(100))
    reading.parser.run()
    walker = reading.parser.walker
    assert walker is not None
    block = walker.statistics.blocks["pc.ram"]
    assert (block.normal, block.zero, block.xbzrle, block.compressed) == (10, 2, 2, 2)
    assert walker.statistics.blocks["vga"].zero == 2
    page = 2 * (4104 + 7 + 4 * 4104)
    assert block.bytes == page + 2 * (9 + 14 + 17)


def test_a_cut_stream_ends_the_source() -> None:
    data = small()
    for length in range(0, len(data) - 60, 97):
        with pytest.raises(SourceEndedError):
            Reading(data[:length], itertools.repeat(1000)).parser.run()


def test_the_first_element_tells_of_the_return_path() -> None:
    with_path = make_stream(
        "pc-q35-10.0",
        [
            Command(kind=CommandKind.OPEN_RETURN_PATH, payload=b""),
            Command(kind=CommandKind.PING, payload=b"\0\0\0\x01"),
            ram_start(BLOCKS, section_id=2, footer=True),
            _records(end=True),
            full_section("timer", 0, 2, b"\x11" * 24, section_id=4),
        ],
    )
    data = write(with_path)
    for lengths in (itertools.repeat(1), itertools.repeat(len(data))):
        reading = Reading(data, lengths)
        reading.parser.run()
        assert reading.first == (24, True)
    reading = Reading(small(), itertools.repeat(3))
    reading.parser.run()
    assert reading.first == (24, False)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (CommandKind.POSTCOPY_ADVISE, "postcopy-ram is on"),
        (CommandKind.PACKAGED, "postcopy-ram is on"),
        (CommandKind.POSTCOPY_RESUME, "resumes a postcopy"),
        (CommandKind.ENABLE_COLO, "x-colo"),
        (0x77, "0x77 is not known"),
    ],
)
def test_commands_that_cannot_be_relayed(kind: int, says: str) -> None:
    data = write(make_stream("pc", [Command(kind=kind, payload=b"\0\0\0\0")]))
    reading = Reading(data, itertools.repeat(5))
    with pytest.raises(UnsupportedError, match=says):
        reading.parser.run()
    assert not reading.before_ram


def test_a_real_postcopy_stream() -> None:
    reading = Reading(golden("5.2-pc-postcopy"), itertools.repeat(4096))
    with pytest.raises(UnsupportedError, match="postcopy-ram is on"):
        reading.parser.run()
    assert not reading.before_ram


def test_multifd_shows_in_the_block_list() -> None:
    start = ram_start(BLOCKS, section_id=2, footer=True)
    flush = int(RamFlag.MULTIFD_FLUSH).to_bytes(8, "big")
    body = bytes(start.body)
    data = write(make_stream("pc", [replace(start, body=body[:-8] + flush + body[-8:])]))
    with pytest.raises(UnsupportedError, match="multifd is on"):
        Reading(data, itertools.repeat(5)).parser.run()


@pytest.mark.parametrize("idstr", ["0000:00:03.0/vfio", "something-new"])
def test_handlers_without_an_end(idstr: str) -> None:
    start = replace(ram_start(BLOCKS, section_id=2, footer=True), idstr=idstr, body=b"\0" * 40)
    with pytest.raises(UnsupportedError, match="the stream does not show where"):
        Reading(write(make_stream("pc", [start])), itertools.repeat(7)).parser.run()


def test_mapped_ram_is_for_files() -> None:
    data = write(make_stream("pc", []))[:-1]
    body = (1).to_bytes(4, "big") + counted("mapped-ram")
    data += b"\x05" + counted("configuration/capabilities") + b"\0\0\0\1" + body + b"\x01"
    with pytest.raises(UnsupportedError, match="mapped-ram"):
        Reading(data, itertools.repeat(1)).parser.run()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "no migration stream"),
        (b"QEVM\0\0\0\2\7\0\0\0\1x", "stream version 2"),
        (b"QEVM\0\0\0\3\7\xff\0\0\1x", "machine type name of"),
        (b"QEVM\0\0\0\3\7\0\0\0\1x\x05\x03new\0\0\0\1", "unknown subsection"),
        (b"QEVM\0\0\0\3\7\0\0\0\1x\x55", "unknown section type 0x55"),
        (b"QEVM\0\0\0\3\7\0\0\0\1x\x02\0\0\0\x09", "which has no START"),
    ],
)
def test_what_no_source_sends(data: bytes, says: str) -> None:
    with pytest.raises(StreamError, match=says):
        Reading(data + bytes(64), itertools.repeat(3)).parser.run()


def test_device_state_before_the_rounds_ended() -> None:
    other = replace(
        ram_start(BLOCKS, section_id=3, footer=True), idstr="dirty-bitmap", body=b"\x01"
    )
    elements = [
        ram_start(BLOCKS, section_id=2, footer=True),
        other,
        _records(end=True),
        full_section("timer", 0, 2, b"\x11" * 24, section_id=4),
    ]
    with pytest.raises(StreamError, match="before 1 sections ended"):
        Reading(write(make_stream("pc", elements)), itertools.repeat(900)).parser.run()
