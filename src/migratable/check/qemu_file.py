"""The bytes that a loader reads: one section's body, and what follows it when it reads too far."""

from __future__ import annotations

from collections.abc import Callable

from migratable.stream.cursor import Buffer, counted
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind

#: Bytes of what follows a section that a loader could read into, at most.
MOST_AHEAD = 1 << 20


class StreamEndError(Exception):
    """The loader wants bytes and there are none; QEMU's file then has the error -EIO."""


class QemuFile:
    """Big-endian reader over a section's body.

    QEMU does not know where a section ends. A loader whose tables differ reads on into the footer
    and the sections behind it; *more* gives those bytes when that happens.

    :ivar pos: bytes read so far.
    :ivar size: bytes of the body proper.
    """

    __slots__ = ("_data", "_more", "pos", "size")

    def __init__(self, body: Buffer, more: Callable[[], bytes] | None = None) -> None:
        """Start at the body's first byte."""
        self._data = memoryview(body)
        self._more = more
        self.pos = 0
        self.size = len(self._data)

    def view(self, count: int) -> memoryview:
        """Read *count* bytes.

        :raise StreamEndError: when the stream ends before.
        """
        end = self.pos + count
        if end > len(self._data):
            self._extend(end)
        view = self._data[self.pos : end]
        self.pos = end
        return view

    def _extend(self, end: int) -> None:
        if self._more is not None:
            more, self._more = self._more(), None
            self._data = memoryview(bytes(self._data) + more)
        if end > len(self._data):
            raise StreamEndError

    def nonzero(self, count: int) -> bool:
        """Read *count* bytes and tell only whether any is not 0; raises as :meth:`view` does."""
        return any(self.view(count))

    def skip(self, count: int) -> None:
        """Read *count* bytes and forget them; raises as :meth:`view` does."""
        end = self.pos + count
        if end > len(self._data):
            self._extend(end)
        self.pos = end

    def peek(self, count: int, at: int = 0) -> memoryview:
        """Look at up to *count* bytes from *at* bytes ahead; fewer come at the stream's end."""
        end = self.pos + at + count
        if end > len(self._data):
            try:
                self._extend(end)
            except StreamEndError:
                return self._data[self.pos + at :]
        return self._data[self.pos + at : end]

    def unsigned(self, width: int) -> int:
        """Read an unsigned integer of *width* bytes; raises as :meth:`view` does."""
        return int.from_bytes(self.view(width), "big")

    def signed(self, width: int) -> int:
        """Read a two's complement integer of *width* bytes; raises as :meth:`view` does."""
        return int.from_bytes(self.view(width), "big", signed=True)


def whole(section: Section) -> bytes:
    """A section as it was on the wire, without what is beyond 1 MiB of its body."""
    parts = [bytes([section.kind]), section.section_id.to_bytes(4, "big")]
    if section.kind in {SectionKind.START, SectionKind.FULL}:
        parts += [
            counted(section.idstr),
            (section.instance_id & 0xFFFFFFFF).to_bytes(4, "big"),
            section.version_id.to_bytes(4, "big"),
        ]
    parts.append(bytes(section.body[:MOST_AHEAD]))
    if section.footer:
        parts.append(b"\x7e" + section.section_id.to_bytes(4, "big"))
    return b"".join(parts)
