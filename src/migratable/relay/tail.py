"""The device state: held until it is complete, decoded at the stream's end.

Nothing in a stream says how long it is. Its last part is the description (vmdesc), which does; a
stream without one (``suppress-vmdesc``) is whole when it reads to its EOF byte and nothing more
comes.
"""

from __future__ import annotations

import re
from dataclasses import replace

from migratable.errors import StreamError
from migratable.relay.parse import Parser
from migratable.stream import Stream, read
from migratable.stream import wire_format as layout
from migratable.stream.pages import ram_end
from migratable.stream.writer import element_chunks

MOST = 1 << 30
"""Bytes of device state that are held."""
_VMDESC = re.compile(rb"\x00\x06(....)\{", re.DOTALL)
_LEAST = 6
"""Bytes of a beginning of it that the pattern does not find yet."""


class Tail:
    """What came after RAM.

    :ivar data: as it came.
    :ivar end: offset of the EOF byte in it; -1 until it is whole.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.data = bytearray()
        self.end = -1
        self._looked = 0

    def add(self, data: bytes | memoryview) -> None:
        """Hold more.

        :raise StreamError: when it is more than any machine has.
        """
        self.data += data
        if len(self.data) > MOST:
            raise StreamError(f"device state of more than {MOST} bytes", path="the device state")

    @property
    def whole(self) -> bool:
        """Whether the description at the stream's end has come, with its last byte."""
        if self.end >= 0:
            return True
        size = len(self.data)
        for match in _VMDESC.finditer(self.data, self._looked):
            end = match.end() - 1 + int.from_bytes(match[1], "big")
            if end == size and self.data.endswith(b"}"):
                self.end = match.start()
                return True
            # A description's text has no zero byte: what looks like one may be device state.
            if end > size and self.data.find(0, match.end()) < 0:
                self._looked = match.start()
                return False
        self._looked = max(self._looked, size - _LEAST)
        return False

    def whole_without_description(self, head: bytes, parser: Parser) -> bool:
        """Whether it reads to its EOF byte; asked when nothing has come for a while."""
        if not self.data or self.data[-1] != layout.EOF:
            return False
        try:
            stream = assemble(head, parser, self.data)
        except StreamError:
            return False
        if not stream.eof or stream.trailer or stream.vmdesc is not None:
            return False
        self.end = len(self.data) - 1
        return True

    @property
    def sections(self) -> memoryview:
        """The devices, without the stream's end."""
        return memoryview(self.data)[: self.end]

    @property
    def rest(self) -> memoryview:
        """EOF and description."""
        return memoryview(self.data)[self.end :]


def assemble(head: bytes, parser: Parser, tail: bytes | bytearray | None) -> Stream:
    """Give the stream without its RAM contents, as a capture has it.

    :param tail: None for the head alone.
    :raise StreamError: when it cannot be read.
    """
    end = b""
    if parser.ram is not None:
        section = ram_end((), section_id=parser.ram_id, footer=bool(parser.footers))
        end = b"".join(bytes(chunk) for chunk in element_chunks(section))
    rest = bytes([layout.EOF]) if tail is None else bytes(tail)
    stream = read(head + end + rest, page_size=parser.page_size)
    statistics = None if parser.walker is None else parser.walker.statistics
    return replace(stream, ram_statistics=statistics)
