"""A cursor over bytes that are still arriving, for the same readers as a file."""

from __future__ import annotations

from collections.abc import Callable

from migratable.stream.cursor import Cursor

SIZE = 512 << 10
"""Bytes of the buffer: it stays in a processor's cache, and a system call moves much."""


class SourceEndedError(Exception):
    """The source's connection ended."""


class ArrivingCursor(Cursor):
    """Reads from a buffer that is filled when it runs out; what was read is handed on.

    :ivar sink: takes the bytes that were read, in order, before the buffer is filled again.
    """

    __slots__ = ("_receive", "sink")

    def __init__(
        self,
        receive: Callable[[memoryview], int],
        sink: Callable[[memoryview], None],
        *,
        size: int = SIZE,
        first: bytes = b"",
    ) -> None:
        """Begin with what has arrived already.

        :param receive: fill the buffer; bytes, 0 at the connection's end.
        """
        super().__init__(memoryview(bytearray(size)), end=0)
        self._receive = receive
        self.sink = sink
        self.data[: len(first)] = first
        self.end = len(first)

    def flush(self) -> None:
        """Hand on what was read."""
        if self.pos:
            self.sink(self.data[: self.pos])
            left = self.end - self.pos
            self.data[:left] = self.data[self.pos : self.end]
            self.base += self.pos
            self.pos, self.end = 0, left

    def more(self) -> None:
        """Hand on what was read, and wait for more.

        :raise SourceEndedError: when nothing comes any more.
        :raise StreamError: when one element fills the buffer.
        """
        self.flush()
        if self.end == len(self.data):
            raise self.error(f"an element is larger than {len(self.data)} bytes")
        count = self._receive(self.data[self.end :])
        if not count:
            raise SourceEndedError
        self.end += count

    def has(self, count: int) -> bool:
        """Wait for *count* bytes."""
        while count > self.end - self.pos:
            self.more()
        return True

    def need(self, count: int) -> int:
        """Advance over *count* bytes, which are in the buffer then."""
        if not 0 <= count <= len(self.data):
            raise self.error(f"an element of {count} bytes")
        while count > self.end - self.pos:
            self.more()
        pos = self.pos
        self.pos = pos + count
        return pos

    def skip(self, count: int) -> None:
        """Move over *count* bytes, which need not fit the buffer."""
        while count > (there := self.end - self.pos):
            count -= there
            self.pos = self.end
            self.more()
        self.pos += count

    def peek(self) -> int:
        """Give the next byte without moving; it is waited for."""
        if self.pos == self.end:
            self.more()
        return self.data[self.pos]

    def rest(self) -> bytes:
        """Take what has arrived and was not read; it is not handed on."""
        left = bytes(self.data[self.pos : self.end])
        self.flush()
        self.base += self.end
        self.pos = self.end = 0
        return left
