"""Streams that arrive in pieces."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from migratable.relay.arriving import ArrivingCursor
from migratable.relay.parse import Parser
from migratable.stream import Stream, read

STREAMS = Path(__file__).parents[2] / "golden" / "streams"


@cache
def golden(name: str) -> bytes:
    return lzma.decompress((STREAMS / f"{name}.mig.xz").read_bytes())


@cache
def golden_stream(name: str) -> Stream:
    return read(golden(name), ram=True)


def pieces(data: bytes, lengths: Iterator[int]) -> Callable[[memoryview], int]:
    """Give *data* in pieces, as a connection does."""
    place = 0

    def receive(buffer: memoryview) -> int:
        nonlocal place
        piece = data[place : place + min(len(buffer), next(lengths, len(data)))]
        buffer[: len(piece)] = piece
        place += len(piece)
        return len(piece)

    return receive


class Reading:
    """A parser with what it has handed on.

    :ivar passed: bytes, in order.
    :ivar first: length of what had passed before the first element, and whether a return path
        follows.
    :ivar before_ram: length of what had passed before the first round.
    """

    def __init__(self, data: bytes, lengths: Iterator[int], *, size: int = 512 << 10) -> None:
        self.passed = bytearray()
        self.first = (0, False)
        self.before_ram = 0
        self.cursor = ArrivingCursor(pieces(data, lengths), self._sink, size=size)
        self.parser = Parser(
            cursor=self.cursor, page_size=4096, at_first=self._first, at_ram=self._ram
        )

    def _sink(self, data: memoryview) -> None:
        self.passed += data

    def _first(self, opens: bool) -> None:
        self.first = len(self.passed), opens

    def _ram(self) -> None:
        self.before_ram = len(self.passed)
