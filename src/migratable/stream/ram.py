"""The ``ram`` section: the block list of its START, and the page records of PART and END.

A record begins with a u64: flags below the target page size, above them the page's offset in its
block, or for MEM_SIZE a total::

    record = u64 MEM_SIZE|total, (counted id, u64 used_length [, u64 page_size] [, u64 gpa]
                                  [, mapped-ram header])*
           | u64 PAGE|offset,  [counted id], page
           | u64 ZERO|offset,  [counted id], u8 fill
           | u64 XBZRLE|offset, [counted id], u8 1, u16 length, bytes
           | u64 COMPRESS_PAGE|offset, [counted id], u32 length, bytes           (up to 9.0)
           | u64 MULTIFD_FLUSH                                                   (8.1 on)
           | u64 EOS                                  ends the section's body

The block id is left out when the flag CONTINUE says "as before", also across sections. Source:
``migration/ram.c`` ``ram_save_setup``, ``ram_load_precopy``; 4.1 to 11.1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from migratable.stream.cursor import Cursor
from migratable.stream.wire_format import RamFlag

_CONTINUE = int(RamFlag.CONTINUE)
_EOS = int(RamFlag.EOS)
_MOST_AHEAD = 8 + 1 + 255 + 8
"""A u64 and an entry."""
MAX_BLOCKS = 10_000
"""RAM blocks in a list; real machines have some tens, with memory hot-plug some hundreds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedRam:
    """Where a block's pages are in a ``mapped-ram`` file (``struct MappedRamHeader``, 9.0 on)."""

    version: int
    page_size: int
    bitmap_offset: int
    pages_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RamBlock:
    """One block of the list.

    :ivar used_length: bytes.
    :ivar page_size: of the block's backing, sent by a postcopy source when it is not the host's.
    :ivar gpa: guest-physical address, sent with the capability ``x-ignore-shared``.
    """

    id: str
    used_length: int
    page_size: int | None = None
    gpa: int | None = None
    mapped: MappedRam | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RamStart:
    """The block list in the body of the START section."""

    blocks: tuple[RamBlock, ...]
    multifd_flush: bool = False

    @property
    def total(self) -> int:
        """Bytes of all blocks."""
        return sum(block.used_length for block in self.blocks)


@dataclass(slots=True, kw_only=True)
class BlockCount:
    """The sent pages of one block (all rounds, so a page may count more than once)."""

    normal: int = 0
    zero: int = 0
    xbzrle: int = 0
    compressed: int = 0
    bytes: int = 0

    @property
    def records(self) -> int:
        """Page records of every kind."""
        return self.normal + self.zero + self.xbzrle + self.compressed


@dataclass(frozen=True, slots=True, kw_only=True)
class RamFault:
    """A page record that no intact source sends: loaders refuse most of these.

    :ivar kind: ``block``: of a block that the list does not announce; ``offset``: outside its
        block; ``fill``: a zero page with another value, *value*; ``xbzrle``: a delta that leaves
        the page or has a wrong header, whose first byte is *value*; ``compressed``: only a
        destination with that capability takes it; ``flush``: multifd's, up to 8.0 unknown.
    :ivar offset: of the page in its block, bytes.
    """

    kind: str
    block: str = ""
    offset: int = 0
    value: int = 0


_MOST_FAULTS = 64


@dataclass(slots=True, kw_only=True)
class RamStatistics:
    """Counts over all ram sections that were walked.

    :ivar faults: the first records that are not as a source sends them, each kind once a block.
    """

    page_size: int
    faults: list[RamFault] = field(default_factory=list)
    blocks: dict[str, BlockCount] = field(default_factory=dict)
    sections: int = 0
    multifd_flushes: int = 0

    def count(self, block: str) -> BlockCount:
        """Counter of one block, made when it is first asked for."""
        return self.blocks.setdefault(block, BlockCount())

    def fault(self, fault: RamFault) -> None:
        """Keep the first faults of each kind and block."""
        if len(self.faults) < _MOST_FAULTS and not any(
            (known.kind, known.block) == (fault.kind, fault.block) for known in self.faults
        ):
            self.faults.append(fault)


def read_start(
    cursor: Cursor, *, gpa: bool = False, mapped: bool = False, origin: int = 0
) -> RamStart:
    """Read the body of the START section up to and with its EOS.

    :param gpa: the capability ``x-ignore-shared`` was on (the configuration section says so).
    :param mapped: the capability ``mapped-ram`` was on.
    :param origin: what is to be taken off the offsets in mapped-ram headers.
    :raise StreamError: when the list does not add up to its total or names too many blocks.
    """
    with cursor.within("block list"):
        head = cursor.u64()
        if head & 0x3FF & ~_CONTINUE != RamFlag.MEM_SIZE:
            raise cursor.error(f"RAM block list expected, got flags {head & 0x3FF:#x}")
        left = head & ~0x3FF
        blocks: list[RamBlock] = []
        while left > 0:
            if len(blocks) >= MAX_BLOCKS:
                raise cursor.error(f"more than {MAX_BLOCKS} RAM blocks")
            blocks.append(block := _read_block(cursor, left, gpa=gpa, mapped=mapped, origin=origin))
            left -= block.used_length
        flush = False
        while (record := cursor.u64()) & 0x3FF != _EOS:
            if record & 0x3FF != RamFlag.MULTIFD_FLUSH:
                raise cursor.error(
                    f"end of RAM block list expected, got {record:#x}", offset=cursor.offset - 8
                )
            flush = True
    return RamStart(blocks=tuple(blocks), multifd_flush=flush)


def _read_block(cursor: Cursor, left: int, *, gpa: bool, mapped: bool, origin: int) -> RamBlock:
    block_id = cursor.counted()
    length = cursor.u64()
    if not block_id or not 0 < length <= left:
        raise cursor.error(
            f"RAM block {block_id!r} of {length} bytes; {left} bytes of the total are left"
        )
    page_size = None
    if not mapped and _page_size_follows(cursor, last=length == left, gpa=gpa):
        page_size = cursor.u64()
    address = cursor.u64() if gpa else None
    header = None
    if mapped:
        size = cursor.u32()
        if size != 1:
            raise cursor.error(f"mapped-ram header version {size}, 1 expected")
        header = MappedRam(
            version=size,
            page_size=cursor.u64(),
            bitmap_offset=cursor.u64() - origin,
            pages_offset=cursor.u64() - origin,
        )
        end = header.pages_offset + length
        if not cursor.offset <= header.bitmap_offset <= header.pages_offset:
            raise cursor.error(f"mapped-ram offsets of block {block_id!r} point backwards")
        if end - cursor.base > cursor.end:
            raise cursor.error(
                f"pages of block {block_id!r} end at byte {end}, past the file's end"
            )
        cursor.pos = end - cursor.base
    return RamBlock(
        id=block_id, used_length=length, page_size=page_size, gpa=address, mapped=header
    )


def _page_size_follows(cursor: Cursor, *, last: bool, gpa: bool) -> bool:
    """Tell whether the next u64 is a block's page size.

    A postcopy source sends it only for blocks whose page size is not the host's, and no flag says
    so. A power of two between 4 KiB and 16 GiB begins with a zero byte; the next entry begins with
    the length of its name, which is never zero, and the record that ends the list is no such power.
    """
    if not cursor.has(8):
        return False
    value = int.from_bytes(cursor.data[cursor.pos : cursor.pos + 8], "big")
    if not 4096 <= value <= 1 << 34 or value & (value - 1):
        return False
    if not gpa:
        return True
    # With GPAs the u64 may be a GPA: then an entry or the end of the list follows.
    cursor.has(_MOST_AHEAD)
    after = Cursor(cursor.data, cursor.pos + 8, end=cursor.end)
    return not _entry_or_end(after, last=last)


def _entry_or_end(cursor: Cursor, *, last: bool) -> bool:
    if last:
        if cursor.remaining < 8:
            return False
        return cursor.u64() & 0x3FF in (_EOS, int(RamFlag.MULTIFD_FLUSH))
    length = cursor.peek()
    if not length or cursor.remaining < length + 9:
        return False
    name = cursor.data[cursor.pos + 1 : cursor.pos + 1 + length]
    return all(32 < byte < 127 for byte in name)
