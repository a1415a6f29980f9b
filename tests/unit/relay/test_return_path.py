import pytest
from hypothesis import given
from hypothesis import strategies as st

from migratable.relay.return_path import OPEN, OUR_PING, PING, Message, Said, Splitter, shut


def test_commands_as_qemu_reads_them() -> None:
    assert OPEN == b"\x08\x00\x01\x00\x00"
    assert PING == b"\x08\x00\x02\x00\x04migr"
    assert shut(1) == b"\x00\x01\x00\x04\x00\x00\x00\x01"


@given(st.lists(st.integers(min_value=1, max_value=40), max_size=20))
def test_messages_are_cut_wherever_they_are_torn(lengths: list[int]) -> None:
    pong = bytes([0, Message.PONG, 0, 4]) + OUR_PING.to_bytes(4, "big")
    ack = bytes([0, 7, 0, 0])
    data = pong + ack + shut(0)
    splitter = Splitter()
    said: list[Said] = []
    for length in [*lengths, len(data)]:
        said += splitter.feed(data[:length])
        data = data[length:]
    assert [(one.kind, one.value) for one in said] == [(2, OUR_PING), (7, 0), (1, 0)]
    assert [one.raw for one in said] == [pong, ack, shut(0)]


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x04", b"\x00\x01\xff\xff", b"HTTP/1.1"])
def test_what_is_no_return_path(data: bytes) -> None:
    with pytest.raises(ValueError, match="message"):
        list(Splitter().feed(data))
