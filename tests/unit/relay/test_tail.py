"""When a device state is whole."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migratable.relay.tail import Tail, assemble
from migratable.stream import write
from migratable.stream.edit import elide_ram
from tests.unit.relay.arriving import Reading, golden, golden_stream

DESCRIBED = ["10.0-q35", "11.1-q35", "4.1-pseries-4.1-dual", "7.2-pseries"]


def _split(name: str) -> tuple[Reading, bytes, bytes]:
    """The parser, the head, and the device state of a golden stream."""
    data = golden(name)
    reading = Reading(data, itertools.repeat(1 << 20))
    reading.parser.run()
    return reading, data[: reading.before_ram], data[reading.cursor.offset :]


@pytest.mark.parametrize("name", DESCRIBED)
@given(st.data())
@settings(max_examples=20)
def test_whole_at_its_last_byte(name: str, data: st.DataObject) -> None:
    _, _, state = _split(name)
    cuts = data.draw(st.lists(st.integers(0, len(state) - 1), max_size=12))
    tail, place = Tail(), 0
    for cut in sorted(cuts):
        tail.add(state[place:cut])
        place = cut
        assert not tail.whole
    tail.add(state[place:])
    assert tail.whole
    assert bytes(tail.rest[:2]) == b"\x00\x06"
    assert bytes(tail.sections) + bytes(tail.rest) == state
    stream = golden_stream(name)
    assert stream.vmdesc is not None
    assert tail.end + len(tail.rest) == len(state)
    assert bytes(tail.rest[6:]) == stream.vmdesc.raw


@pytest.mark.parametrize("step", [1, 7])
def test_every_end_of_what_arrives(step: int) -> None:
    _, _, state = _split("4.1-pseries-4.1-dual")
    tail = Tail()
    for at in range(0, len(state), step):
        assert not tail.whole
        tail.add(state[at : at + step])
    assert tail.whole


def test_device_state_that_looks_like_a_description() -> None:
    """A length that would end just here, or later, in the state of a device."""
    tail = Tail()
    seen = []
    for piece in (
        b"\x04abc\x00\x06\x00\x00\x00\x09{1234567\x00",
        b"\x00\x06\x00\x01\x00\x00{" + b"x" * 50,
        b"\x00" + b"\x7e\0\0\0\x04",
        b"\x00\x06\x00\x00\x00\x02{}",
    ):
        tail.add(piece)
        seen.append(tail.whole)
    assert seen == [False, False, False, True]
    assert bytes(tail.rest) == b"\x00\x06\x00\x00\x00\x02{}"


@pytest.mark.parametrize("name", ["11.1-pc-nodesc"])
def test_without_a_description(name: str) -> None:
    reading, head, state = _split(name)
    for cut in range(len(state) - 1, 0, -531):
        tail = Tail()
        tail.add(state[:cut])
        assert not tail.whole
        assert not tail.whole_without_description(head, reading.parser)
    tail = Tail()
    tail.add(state)
    assert not tail.whole
    assert tail.whole_without_description(head, reading.parser)
    assert bytes(tail.rest) == b"\0"
    assert tail.whole


@pytest.mark.parametrize("name", [*DESCRIBED, "11.1-pc-nodesc", "5.2-pc-noconf"])
def test_put_together_it_is_a_capture(name: str) -> None:
    """What is checked is what ``capture`` would have given."""
    reading, head, state = _split(name)
    reading.cursor.flush()
    stream = assemble(head, reading.parser, state)
    expected = elide_ram(golden_stream(name))
    assert [(s.idstr, bytes(s.body)) for s in stream.devices] == [
        (s.idstr, bytes(s.body)) for s in expected.devices
    ]
    if name.endswith("q35"):
        assert write(stream)[:4000] == write(expected)[:4000]
    assert stream.ram == expected.ram
    statistics = golden_stream(name).ram_statistics
    assert stream.ram_statistics is not None
    assert statistics is not None
    assert stream.ram_statistics.blocks == statistics.blocks


def test_the_head_alone() -> None:
    reading, head, _ = _split("10.0-q35")
    stream = assemble(head, reading.parser, None)
    assert stream.machine == "pc-q35-10.0"
    assert not stream.devices
    assert stream.ram == golden_stream("10.0-q35").ram
