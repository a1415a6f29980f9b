"""The fast search finds what ``bytes.find`` finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from migratable.messages.find import finder

SMALL = st.binary(max_size=60).map(lambda data: bytes(byte % 3 for byte in data))


@given(
    data=SMALL, needle=SMALL.map(lambda data: data[:4]), ends=st.tuples(*[st.integers(0, 70)] * 2)
)
def test_like_bytes_find(data: bytes, needle: bytes, ends: tuple[int, int]) -> None:
    assert finder(data)(needle, *ends) == data.find(needle, *ends)


def test_behind_nul_bytes() -> None:
    data = b"\0" * 100_000 + b"section footer" + b"\0"
    assert finder(data)(b"section footer", 0, len(data)) == 100_000
    assert finder(data)(b"section footer", 100_001, len(data)) == -1
    assert finder(data)(b"section footer", 0, 100_013) == -1
