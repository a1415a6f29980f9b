"""What a loader reads from and into: the stream's bytes, the destination's memory, its cursor."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migratable.check.following import following_bytes
from migratable.check.qemu_file import QemuFile, StreamEndError, whole
from migratable.check.state import Memory
from migratable.check.vmdesc_cursor import VmdescCursor
from migratable.profile.tables import Flag, VmField, Vmsd
from migratable.stream import vmdesc
from migratable.stream.edit import make_stream
from migratable.stream.model import Section
from migratable.stream.vmdesc import VmsdBody
from migratable.stream.wire_format import SectionKind

# QemuFile


def test_reads_big_endian_in_order() -> None:
    wire = QemuFile(bytes.fromhex("01 0203 fffffffe"))
    assert wire.get_be(1) == 1
    assert wire.get_be(2) == 0x203
    assert wire.get_be(4) == 0xFFFFFFFE
    assert wire.pos == wire.size == 7


def test_the_end_is_an_error_of_its_own_and_moves_nothing() -> None:
    wire = QemuFile(b"abc")
    wire.skip(2)
    for read in (wire.get_buffer, wire.skip, wire.get_be):
        with pytest.raises(StreamEndError):
            read(2)
        assert wire.pos == 2
    assert bytes(wire.get_buffer(1)) == b"c"


def test_reads_on_into_what_follows_and_asks_for_it_once() -> None:
    asked = []

    def more() -> bytes:
        asked.append(True)
        return b"\x04"

    wire = QemuFile(b"ab", b"\x7e\0\0\0\x05", more)
    assert bytes(wire.peek_buffer(2)) == b"ab"
    assert asked == []  # what is in the section needs nothing else
    assert bytes(wire.get_buffer(3)) == b"ab\x7e"
    assert wire.size == 2  # of the section, whatever was read behind it
    wire.skip(4)
    assert asked == []  # nor what is in its footer
    assert not wire.reads_on
    wire.skip(1)
    with pytest.raises(StreamEndError):
        wire.skip(1)
    assert asked == [True]
    assert wire.reads_on


def test_peek_gives_what_there_is() -> None:
    wire = QemuFile(b"abcd", b"e", lambda: b"f")
    wire.skip(1)
    assert bytes(wire.peek_buffer(2)) == b"bc"
    assert bytes(wire.peek_buffer(2, offset=1)) == b"cd"
    assert bytes(wire.peek_buffer(9)) == b"bcdef"
    assert bytes(wire.peek_buffer(3, offset=9)) == b""
    assert wire.pos == 1


@given(st.binary(max_size=40), st.binary(max_size=20), st.lists(st.integers(0, 12), max_size=12))
def test_a_wire_is_its_bytes(body: bytes, behind: bytes, steps: list[int]) -> None:
    wire, whole, at = QemuFile(body, behind[:5], lambda: behind[5:]), body + behind, 0
    for count in steps:
        assert bytes(wire.peek_buffer(count)) == whole[at : at + count]
        if at + count > len(whole):
            with pytest.raises(StreamEndError):
                wire.get_buffer(count)
            continue
        assert bytes(wire.get_buffer(count)) == whole[at : at + count]
        at += count
    assert wire.pos == at


# Memory


def test_memory_is_overlaid_and_remembers_what_was() -> None:
    memory = Memory({(0x1000, 4): 7})
    assert memory.get(0x1000, 4) == 7
    assert memory.get(0x1000, 8) is None  # another width is another word
    memory.set(0x1000, 4, -1)
    assert memory.get(0x1000, 4) == 0xFFFFFFFF
    assert memory.was(0x1000, 4) == 7
    memory.set(0x1000, 4, 0)
    assert memory.get(0x1000, 4) == 0  # 0 is a value, not the lack of one


def test_allocated_objects_do_not_overlap() -> None:
    memory = Memory({})
    sizes = (1, 0x10000, 0x10001, 24)
    starts = [memory.allocate(size) for size in sizes]
    for (start, size), following in zip(zip(starts, sizes, strict=True), starts[1:], strict=False):
        assert start + size <= following
    assert starts[0] > 1 << 57  # above what a process has


# The stream's own description, followed field by field


def _vmsd(*fields: VmField) -> Vmsd:
    return Vmsd(name="device", version=1, minimum=1, fields=fields)


def _described(*fields: vmdesc.VmField) -> VmsdBody:
    return VmsdBody(name="device", version=1, fields=fields)


def _entry(name: str, size: int = 4, **more: object) -> vmdesc.VmField:
    return vmdesc.VmField(name=name, type="uint32", size=size, **more)  # type: ignore[arg-type]


def test_no_description_guides_to_nothing() -> None:
    cursor = VmdescCursor(None, _vmsd(VmField(name="a")))
    assert not cursor.known
    assert cursor.next_field(0, 1) == ((), None)


def test_fields_that_were_not_sent_are_passed_over() -> None:
    vmsd = _vmsd(VmField(name="a"), VmField(name="b"), VmField(name="c"))
    cursor = VmdescCursor(_described(_entry("a"), _entry("c", 8)), vmsd)
    assert cursor.has(0)
    assert cursor.next_field(0, 1) == ((), 4)
    assert not cursor.has(1)
    assert cursor.next_field(1, 1) == ((), None)
    assert cursor.next_field(2, 1) == ((), 8)
    assert not cursor.has(2)  # nothing is left


def test_a_name_that_is_twice_in_the_table_has_its_number() -> None:
    vmsd = _vmsd(
        VmField(name="config", info="pci config", size=256),
        VmField(name="config", info="pci config", size=4096),
        VmField(name="irq"),
    )
    cursor = VmdescCursor(_described(_entry("config[1]", 4096), _entry("irq")), vmsd)
    assert not cursor.has(0)
    assert cursor.has(1)
    assert cursor.next_field(1, 1) == ((), 4096)
    assert cursor.has(2)


def test_an_array_gives_each_element_its_description() -> None:
    item = VmField(name="queue", flags=int(Flag.STRUCT | Flag.ARRAY), num=3)
    one, other = _described(_entry("x")), _described(_entry("y"))
    entries = (
        _entry("queue", 4, struct=one, array_len=2),
        _entry("queue", 4, struct=other, index=2),
    )
    bodies, size = VmdescCursor(_described(*entries), _vmsd(item)).next_field(0, 3)
    assert bodies == (one, one, other)
    assert size == sum(entry.total_size for entry in entries)


@pytest.mark.parametrize("way", ["get", "peek", "skip"])
def test_up_to_the_footers_end_nothing_else_is_asked_for(way: str) -> None:
    wire = QemuFile(b"ab", b"\x7e\0\0\0\5", lambda: pytest.fail("asked for more"))
    read = {"get": wire.get_buffer, "peek": wire.peek_buffer, "skip": wire.skip}[way]
    read(7)
    assert not wire.reads_on


def test_of_a_section_that_follows_a_mebibyte_is_enough() -> None:
    large = Section(
        kind=SectionKind.PART,
        section_id=1,
        idstr="ram",
        instance_id=0,
        version_id=4,
        body=bytes((1 << 20) + 1),
    )
    assert len(whole(large)) == 5 + (1 << 20) + 5
    small = replace(large, body=b"", footer=False)
    stream = replace(make_stream(None, []), eof=True)
    assert following_bytes(stream, [large] * 4, 0) == whole(large)
    assert following_bytes(stream, [large, small, small], 0) == whole(small) * 2 + b"\0"
    assert following_bytes(replace(stream, eof=False), [small], 0) == b""


@pytest.mark.parametrize(
    ("entries", "count", "names", "size"),
    [
        ((("s", None), ("s", None), ("t", None)), 2, ["s0", "s1"], 8),
        ((("s", None), ("s", None), ("s", None)), 2, ["s0", "s1"], 8),
        ((("s", None),), 0, [], 4),
        ((("s", 2), ("s", 3)), 5, ["s0", "s0", "s1", "s1", "s1"], 20),
        ((("s", 2), ("s", 3)), 4, ["s0", "s0"], 8),
        ((("s", 3),), 2, ["s0", "s0"], 12),
    ],
)
def test_entries_of_an_array(
    entries: tuple[tuple[str, int | None], ...], count: int, names: list[str], size: int
) -> None:
    """One entry stands for one element, or for a number of equal ones."""
    written = tuple(
        vmdesc.VmField(
            name=name,
            type="struct",
            size=4,
            array_len=length,
            struct=VmsdBody(name=f"{name}{number}", version=1),
        )
        for number, (name, length) in enumerate(entries)
    )
    cursor = VmdescCursor(_described(*written), _vmsd(VmField(name="s"), VmField(name="t")))
    bodies, total = cursor.next_field(0, count)
    assert ([one.name for one in bodies], total) == (names, size)


def test_the_elements_of_a_list_come_with_it() -> None:
    elements = (VmsdBody(name="a", version=1), VmsdBody(name="b", version=1))
    listed = vmdesc.VmField(name="l", type="qtailq", size=9, elements=elements)
    cursor = VmdescCursor(_described(listed), _vmsd(VmField(name="l")))
    assert cursor.next_field(0, 1) == (elements, 9)


@pytest.mark.parametrize(("auto", "at_end"), [(True, False), (True, True), (False, False)])
def test_a_mark_is_an_element_where_the_loader_allocates(auto: bool, at_end: bool) -> None:
    flags = int(Flag.ARRAY_OF_POINTER_AUTO_ALLOC) if auto else 0
    mark = vmdesc.VmField(name="p", type="ptr-marker", size=1)
    one = vmdesc.VmField(name="p", type="struct", size=4, struct=VmsdBody(name="one", version=1))
    written = (mark, one, *(() if at_end else (mark,)))
    cursor = VmdescCursor(_described(*written), _vmsd(VmField(name="p", flags=flags)))
    bodies, size = cursor.next_field(0, 1)
    assert (len(bodies), size) == ((1, 5) if auto else (0, 1))
