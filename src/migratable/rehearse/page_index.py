"""Find pages of guest memory repeatedly, with only one pass over the stream.

An IOMMU's tables are found level by level. To walk all RAM records for each level costs several
times what everything else does; the index costs eight bytes for each page of guest memory.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Collection, Mapping

from migratable.errors import StreamError
from migratable.stream import RamFlag, Stream
from migratable.stream.pages import find_pages, ram_bodies

_HEAD = struct.Struct(">Q").unpack_from
_BODY_SHIFT = 44
"""A place: above these bits the body's number; below them twice the contents' place in it, one
more for a zero page, and one more again, so that 0 is "nowhere"."""
_PLACE = (1 << _BODY_SHIFT) - 1
_CONTINUE, _PAGE, _ZERO, _EOS, _FLUSH = (
    int(one)
    for one in (
        RamFlag.CONTINUE,
        RamFlag.PAGE,
        RamFlag.ZERO,
        RamFlag.EOS,
        RamFlag.MULTIFD_FLUSH,
    )
)


class PageIndex:
    """Where the last copy of each page is."""

    def __init__(self, stream: Stream) -> None:
        """Nothing is read before the first question."""
        self._stream = stream
        self._bodies: list[memoryview] = []
        self._places: dict[str, array[int]] = {}
        self._made = False
        self._plain = not any(block.mapped for block in stream.ram_blocks)

    def find(self, wanted: Mapping[str, Collection[int]]) -> dict[tuple[str, int], bytes]:
        """Contents by block and offset; pages that the stream does not hold are missing.

        :raise StreamError: When the RAM records cannot be read.
        """
        if self._plain and not self._made:
            self._made = True
            self._plain = self._index()
        if not self._plain:
            return find_pages(self._stream, wanted)
        size = self._stream.page_size
        found: dict[tuple[str, int], bytes] = {}
        for block, offsets in wanted.items():
            places = self._places.get(block, array("Q"))
            for offset in offsets:
                page = offset // size
                if page < len(places) and places[page]:
                    found[block, offset] = self._contents(places[page])
        return found

    def _contents(self, place: int) -> bytes:
        body = self._bodies[place >> _BODY_SHIFT]
        at, zero = divmod((place & _PLACE) - 1, 2)
        size = self._stream.page_size
        return bytes([body[at]]) * size if zero else bytes(body[at : at + size])

    def _index(self) -> bool:
        """Walk all records; False when some are neither plain nor zero pages."""
        size = self._stream.page_size
        for block in self._stream.ram_blocks:
            self._places[block.id] = array("Q", bytes(8 * -(-block.used_length // size)))
        name: str | None = None
        for section in ram_bodies(self._stream):
            body = memoryview(section.body)
            self._bodies.append(body)
            try:
                known, name = self._walk(body, (len(self._bodies) - 1) << _BODY_SHIFT, name)
            except (struct.error, IndexError):
                raise StreamError("RAM records end inside one", path="section 'ram'") from None
            if not known:
                return False
        return True

    def _walk(self, body: memoryview, base: int, name: str | None) -> tuple[bool, str | None]:
        """Take one body's records down; whether all were of known kinds, and the last block."""
        size = self._stream.page_size
        shift = size.bit_length() - 1
        mask = size - 1
        places = self._places.get(name or "", array("Q"))
        at = 0
        while True:
            (head,) = _HEAD(body, at)
            at += 8
            flags = head & mask
            if flags == _EOS:
                return True, name
            if flags == _FLUSH:
                continue
            if not flags & _CONTINUE:
                length = body[at]
                name = str(bytes(body[at + 1 : at + 1 + length]), "utf-8", "surrogateescape")
                places = self._places.get(name, array("Q"))
                at += 1 + length
            kind = flags & ~_CONTINUE
            page = head >> shift
            if page >= len(places) or kind not in (_PAGE, _ZERO):
                return False, name
            if kind == _PAGE:
                places[page] = base | (2 * at + 1)
                at += size
            else:
                places[page] = base | (2 * at + 2)
                at += 1
