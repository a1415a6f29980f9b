"""A reading position in a stream that knows its place in the grammar, for errors."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from migratable.errors import StreamError

Buffer: TypeAlias = bytes | memoryview
"""Parts of a stream: views into a mapped file, or bytes that a caller made."""

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")


class Cursor:
    """Read big-endian values from *data*, never past its end.

    :ivar pos: position in *data*; may be set.
    :ivar base: offset of ``data[0]`` in the stream, for errors only.
    """

    __slots__ = ("_trail", "base", "data", "end", "pos")

    def __init__(
        self, data: Buffer, pos: int = 0, *, end: int | None = None, base: int = 0, path: str = ""
    ) -> None:
        """Start at *pos* and stop at *end* (default: all of *data*)."""
        self.data = memoryview(data)
        self.pos = pos
        self.end = len(self.data) if end is None else min(end, len(self.data))
        self.base = base
        self._trail = [path] if path else []

    @property
    def path(self) -> str:
        """Where in the grammar the cursor is, for messages."""
        return " / ".join(self._trail)

    @property
    def offset(self) -> int:
        """Position in the whole stream."""
        return self.base + self.pos

    @property
    def remaining(self) -> int:
        """Bytes left."""
        return self.end - self.pos

    def has(self, count: int) -> bool:
        """Whether *count* bytes are left; a cursor over arriving data waits for them."""
        return self.remaining >= count

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """Name the part that is being read; errors inside carry it."""
        self.enter(name)
        yield
        self.leave()  # not on an error, whose message was made already

    def enter(self, name: str) -> None:
        """Do what :meth:`within` does at its begin, for loops that run ten thousand times."""
        self._trail.append(name)

    def leave(self) -> None:
        """Do what :meth:`within` does at its end."""
        self._trail.pop()

    def error(self, message: str, *, offset: int | None = None) -> StreamError:
        """Make a StreamError for this place, to be raised by the caller."""
        return StreamError(
            message, offset=self.offset if offset is None else offset, path=self.path
        )

    def need(self, count: int) -> int:
        """Advance over *count* bytes and return where they begin.

        :raise StreamError: when fewer are left.
        """
        pos = self.pos
        if count < 0 or count > self.end - pos:
            raise self.error(f"stream ends early: {count} bytes needed, {self.end - pos} left")
        self.pos = pos + count
        return pos

    def u8(self) -> int:
        """One byte."""
        return self.data[self.need(1)]

    def u16(self) -> int:
        """Two bytes."""
        return int(_U16.unpack_from(self.data, self.need(2))[0])

    def u32(self) -> int:
        """Four bytes."""
        return int(_U32.unpack_from(self.data, self.need(4))[0])

    def u64(self) -> int:
        """Eight bytes."""
        return int(_U64.unpack_from(self.data, self.need(8))[0])

    def view(self, count: int) -> memoryview:
        """*count* bytes without copying them."""
        pos = self.need(count)
        return self.data[pos : pos + count]

    def bytes(self, count: int) -> bytes:
        """*count* bytes, copied."""
        return bytes(self.view(count))

    def counted(self) -> str:
        """Read a string after its one-byte length; bytes that are not UTF-8 survive."""
        return text(self.view(self.u8()))

    def peek(self) -> int | None:
        """Give the next byte without moving, None at the end."""
        return self.data[self.pos] if self.pos < self.end else None

    def skip(self, count: int) -> None:
        """Move over *count* bytes."""
        self.need(count)


def text(data: Buffer) -> str:
    """Decode a name; bytes that are not UTF-8 become surrogates and come back in :func:`raw`."""
    return bytes(data).decode("utf-8", "surrogateescape")


def raw(name: str) -> bytes:
    """Encode a name as it was on the wire."""
    return name.encode("utf-8", "surrogateescape")


def counted(name: str) -> bytes:
    """Encode a counted string.

    :raise StreamError: when it has more than 255 bytes.
    """
    data = raw(name)
    if len(data) > 255:
        raise StreamError(f"name of {len(data)} bytes does not fit its one-byte length: {name!r}")
    return bytes([len(data)]) + data
