"""What a loader reads from and into: the stream's bytes, the destination's memory, its guide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migratable.check.guide import Guide
from migratable.check.qemu_file import QemuFile, StreamEndError
from migratable.check.state import Memory
from migratable.profile.tables import Flag, VmField, Vmsd
from migratable.stream import vmdesc
from migratable.stream.vmdesc import VmsdBody

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
    guide = Guide(None, _vmsd(VmField(name="a")))
    assert not guide.known
    assert guide.take(0, 1) == ((), None)


def test_fields_that_were_not_sent_are_passed_over() -> None:
    vmsd = _vmsd(VmField(name="a"), VmField(name="b"), VmField(name="c"))
    guide = Guide(_described(_entry("a"), _entry("c", 8)), vmsd)
    assert guide.has(0)
    assert guide.take(0, 1) == ((), 4)
    assert not guide.has(1)
    assert guide.take(1, 1) == ((), None)
    assert guide.take(2, 1) == ((), 8)
    assert not guide.has(2)  # nothing is left


def test_a_name_that_is_twice_in_the_table_has_its_number() -> None:
    vmsd = _vmsd(
        VmField(name="config", info="pci config", size=256),
        VmField(name="config", info="pci config", size=4096),
        VmField(name="irq"),
    )
    guide = Guide(_described(_entry("config[1]", 4096), _entry("irq")), vmsd)
    assert not guide.has(0)
    assert guide.has(1)
    assert guide.take(1, 1) == ((), 4096)
    assert guide.has(2)


def test_an_array_gives_each_element_its_description() -> None:
    item = VmField(name="queue", flags=int(Flag.STRUCT | Flag.ARRAY), num=3)
    one, other = _described(_entry("x")), _described(_entry("y"))
    entries = (
        _entry("queue", 4, struct=one, array_len=2),
        _entry("queue", 4, struct=other, index=2),
    )
    bodies, size = Guide(_described(*entries), _vmsd(item)).take(0, 3)
    assert bodies == (one, one, other)
    assert size == sum(entry.total_size for entry in entries)
