"""The bytes of one section's body, and the bytes after it for a loader that reads too far."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from migratable.stream.cursor import Buffer, counted
from migratable.stream.model import Section
from migratable.stream.wire_format import SUBSECTION, WHOLE, footer

#: Bytes of what follows a section that a loader could read into, at most.
MOST_AHEAD = 1 << 20


class StreamEndError(Exception):
    """The stream ends while the loader reads; QEMU's file then has the error -EIO."""


class Reader(Protocol):
    """The input of a loader (``QEMUFile *f``).

    How something is read says what it is read for: bytes that the loader looks at, bytes that it
    only stores, and questions about bytes. :class:`QemuFile` makes no difference between them;
    :mod:`migratable.check.cache` does.

    :ivar pos: bytes read so far.
    :ivar size: bytes of the body proper.
    """

    pos: int
    size: int

    def get_buffer(self, count: int) -> memoryview:
        """Read *count* bytes whose values decide.

        :raise StreamEndError: when the stream ends before.
        """

    def get_be(self, width: int) -> int:
        """Read an unsigned number of *width* bytes whose value decides; raises the same."""

    def get_stored(self, count: int) -> memoryview:
        """Read *count* bytes that are only stored in a device's state; raises the same."""

    def get_nonzero(self, count: int) -> bool:
        """Read *count* bytes; only whether one is not 0 decides; raises the same."""

    def skip(self, count: int) -> None:
        """Read *count* bytes and forget them; raises the same."""

    def peek_buffer(self, count: int, offset: int = 0) -> memoryview:
        """Look at up to *count* bytes, *offset* ahead; fewer come at the stream's end."""

    def subsection_follows(self) -> bool:
        """Whether the next byte is ``QEMU_VM_SUBSECTION``; asked after every body."""

    def compared_under(self, mask: Callable[[], int]) -> None:
        """Only the bits of *mask* (little-endian) of the last read decided."""

    def new_values(self) -> dict[str, Any]:
        """The store for the values of one body that is loaded from here."""


class QemuFile:
    """Big-endian reader over a section's body (:class:`Reader`).

    QEMU does not know where a section ends. A loader whose tables differ reads on into the footer
    and the sections behind it; *following* gives those bytes when that happens.

    :ivar reads_on: whether bytes behind the footer were asked for.
    """

    __slots__ = ("_data", "_following", "_footer", "pos", "reads_on", "size")

    def __init__(
        self, body: Buffer, footer: bytes = b"", following: Callable[[], bytes] | None = None
    ) -> None:
        """Start at the body's first byte."""
        self._data = memoryview(body)
        self._footer = footer
        self._following = following
        self.pos = 0
        self.size = len(self._data)
        self.reads_on = False

    def get_buffer(self, count: int) -> memoryview:
        """See :class:`Reader`."""
        end = self.pos + count
        if end > len(self._data):
            self._extend(end)
        view = self._data[self.pos : end]
        self.pos = end
        return view

    get_stored = get_buffer

    def _extend(self, end: int) -> None:
        if self._footer:
            self._data = memoryview(bytes(self._data) + self._footer)
            self._footer = b""
        if end > len(self._data) and self._following is not None:
            self._data = memoryview(bytes(self._data) + self._following())
            self._following = None
            self.reads_on = True
        if end > len(self._data):
            raise StreamEndError

    def get_be(self, width: int) -> int:
        """See :class:`Reader`."""
        return int.from_bytes(self.get_buffer(width), "big")

    def get_nonzero(self, count: int) -> bool:
        """See :class:`Reader`."""
        return any(self.get_buffer(count))

    def skip(self, count: int) -> None:
        """See :class:`Reader`."""
        end = self.pos + count
        if end > len(self._data):
            self._extend(end)
        self.pos = end

    def peek_buffer(self, count: int, offset: int = 0) -> memoryview:
        """See :class:`Reader`."""
        start = self.pos + offset
        if start + count > len(self._data):
            try:
                self._extend(start + count)
            except StreamEndError:
                return self._data[start:]
        return self._data[start : start + count]

    def subsection_follows(self) -> bool:
        """See :class:`Reader`."""
        head = self.peek_buffer(1)
        return len(head) == 1 and head[0] == SUBSECTION

    def compared_under(self, mask: Callable[[], int]) -> None:
        """See :class:`Reader`."""

    def new_values(self) -> dict[str, Any]:
        """See :class:`Reader`."""
        return {}


def footer_of(section: Section) -> bytes:
    """A section's footer, empty without one (``save_section_footer``)."""
    return footer(section.section_id) if section.footer else b""


def whole(section: Section) -> bytes:
    """A section as it was on the wire, with at most 1 MiB of its body."""
    parts = [bytes([section.kind]), section.section_id.to_bytes(4, "big")]
    if section.kind in WHOLE:
        parts += [
            counted(section.idstr),
            (section.instance_id & 0xFFFFFFFF).to_bytes(4, "big"),
            section.version_id.to_bytes(4, "big"),
        ]
    return b"".join([*parts, section.body[:MOST_AHEAD], footer_of(section)])
