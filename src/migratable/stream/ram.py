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

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from migratable.stream.cursor import Cursor
from migratable.stream.wire_format import RamFlag

_CONTINUE = int(RamFlag.CONTINUE)
_ZERO = int(RamFlag.ZERO)
_PAGE = int(RamFlag.PAGE)
_EOS = int(RamFlag.EOS)
_KINDS = int(
    RamFlag.ZERO
    | RamFlag.MEM_SIZE
    | RamFlag.PAGE
    | RamFlag.EOS
    | RamFlag.XBZRLE
    | RamFlag.HOOK
    | RamFlag.COMPRESS_PAGE
    | RamFlag.MULTIFD_FLUSH
)
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


class Window:
    """A part of the file in a small buffer, for walking RAM.

    To map the file costs a page fault for each 64 KiB of it and a cache miss for each page; to
    read it through a buffer that stays in the processor's cache costs what ``cat`` costs.
    """

    SIZE = 256 << 10

    def __init__(self, descriptor: int, origin: int) -> None:
        """Read through *descriptor*; *origin* is where the stream begins in the file."""
        self._descriptor = descriptor
        self._origin = origin
        self._buffer = memoryview(bytearray(self.SIZE))
        self._start = self._end = 0

    def at(self, pos: int, need: int) -> tuple[memoryview, int, int]:
        """Give the buffer, the stream offset of its first byte, and that of its end.

        It holds *need* bytes from *pos* on, unless the file ends before.
        """
        if not self._start <= pos <= self._end - need:
            length = os.preadv(self._descriptor, [self._buffer], self._origin + pos)
            self._start, self._end = pos, pos + length
        return self._buffer, self._start, self._end


class RamWalker:
    """Walk the records of PART and END bodies; the current block survives between sections.

    Runs of plain and zero pages of one block are skipped by one regular expression, which needs
    55-90 ns a page. (Its repeat is not possessive: Python before 3.11.5 ends those at wrong places,
    gh-106052, and it would be no faster.) A run is cut so short that its zero records
    (9 bytes each) cannot add up to one page record: then its length tells how many there are of
    each kind.
    """

    def __init__(
        self,
        page_size: int,
        window: Window | None = None,
        *,
        blocks: Sequence[RamBlock] | None = None,
    ) -> None:
        """Prepare for a target page size, which is not in the records themselves.

        :param window: read through it, rather than through the cursor's data.
        :param blocks: what START announced; None when it is not known, and then no page is judged
            to be outside of them.
        """
        self._window = window
        self.statistics = RamStatistics(page_size=page_size)
        self._page_size = page_size
        self._block: str | None = None
        self._lengths = (
            None if blocks is None else {block.id: block.used_length for block in blocks}
        )
        self._patterns: dict[int | None, re.Pattern[bytes]] = {}

    def _run(self, block: str | None) -> re.Pattern[bytes]:
        """The pattern of a run of plain and zero pages inside the block."""
        length = None if self._lengths is None else self._lengths.get(block or "", 0)
        pattern = self._patterns.get(length)
        if pattern is None:
            size = self._page_size
            run = max(1, (size + 7) // 9)
            pattern = self._patterns[length] = re.compile(
                b"(?s:(?:%s)(?:\\x28.{%d}|\\x22\\x00)){1,%d}" % (_offsets(length, size), size, run)
            )
        return pattern

    def section(self, cursor: Cursor) -> None:
        """Walk one PART or END body; leaves the cursor after its EOS.

        :raise StreamError: when the stream ends first or a record is of no known kind.
        """
        stats = self.statistics
        stats.sections += 1
        mask = self._page_size - 1
        block = self._block
        count = stats.count(block) if block is not None else None
        while True:
            if count is not None:
                self._runs(cursor, count)
            start = cursor.offset  # a cursor over arriving data moves its buffer
            record = cursor.u64()
            flags = record & mask
            kind = flags & ~_CONTINUE
            if kind == _EOS:
                return
            if kind == RamFlag.MULTIFD_FLUSH:
                stats.multifd_flushes += 1
                stats.fault(RamFault(kind="flush"))
                continue
            if kind & ~_KINDS or kind & (kind - 1) or kind in (0, RamFlag.HOOK):
                raise cursor.error(f"unknown RAM flags {flags:#x}", offset=start)
            if kind == RamFlag.MEM_SIZE:
                raise cursor.error("RAM block list outside START", offset=start)
            if not flags & _CONTINUE:
                block = self._block = cursor.counted()
                count = stats.count(block)
                if len(stats.blocks) > MAX_BLOCKS:
                    raise cursor.error(f"pages of more than {MAX_BLOCKS} RAM blocks")
            elif count is None:
                raise cursor.error("RAM page continues a block, and none came before", offset=start)
            assert block is not None
            self._judge(block, record & ~mask)
            if kind == _PAGE:
                cursor.skip(self._page_size)
                count.normal += 1
            elif kind == _ZERO:
                if fill := cursor.u8():
                    stats.fault(
                        RamFault(kind="fill", block=block, offset=record & ~mask, value=fill)
                    )
                count.zero += 1
            elif kind == RamFlag.XBZRLE:
                encoding = cursor.u8()
                data = cursor.view(cursor.u16())
                if encoding != 1 or not _decodes(data, self._page_size):
                    stats.fault(
                        RamFault(kind="xbzrle", block=block, offset=record & ~mask, value=encoding)
                    )
                count.xbzrle += 1
            else:
                cursor.skip(cursor.u32())
                stats.fault(RamFault(kind="compressed", block=block, offset=record & ~mask))
                count.compressed += 1
            count.bytes += cursor.offset - start

    def _judge(self, block: str, offset: int) -> None:
        """Is the page in a block that was announced?"""
        if self._lengths is None:
            return
        length = self._lengths.get(block)
        if length is None:
            self.statistics.fault(RamFault(kind="block", block=block, offset=offset))
        elif offset >= length:
            self.statistics.fault(RamFault(kind="offset", block=block, offset=offset))

    def _runs(self, cursor: Cursor, count: BlockCount) -> None:
        """Skip plain and zero pages of the current block, as many as there are."""
        match = self._run(self._block).match
        page_record = self._page_size + 8
        data, start, end = cursor.data, 0, cursor.end
        pos = cursor.pos
        normal = zero = 0
        while True:
            if self._window is not None:
                data, start, end = self._window.at(pos, page_record)
                end = min(end, cursor.end)
            run = match(data, pos - start, end - start)
            if run is None:
                break
            pages, rest = divmod(run.end() - run.start(), page_record)
            normal += pages
            zero += rest // 9
            pos = start + run.end()
        count.normal += normal
        count.zero += zero
        count.bytes += pos - cursor.pos
        cursor.pos = pos


def _offsets(length: int | None, page_size: int) -> bytes:
    """Give a pattern of the first seven bytes of a record whose page lies below *length*.

    :param length: bytes of the block, None for any place.
    """
    step = 1 << (page_size.bit_length() - 9)  # of the last of the seven; below it are the flags

    def byte(first: int, last: int, step: int = 1) -> bytes:
        return b"[" + b"".join(b"\\x%02x" % one for one in range(first, last + 1, step)) + b"]"

    any_last = byte(0, 255, step)
    if length is None:
        return b".{6}" + any_last
    if length <= 0:
        return b"(?!)"
    furthest = ((length - 1) & -page_size).to_bytes(8, "big")[:7]
    ways = [
        b"".join(b"\\x%02x" % one for one in furthest[:at])
        + byte(0, furthest[at] - 1)
        + b".{%d}" % (5 - at)
        + any_last
        for at in range(6)
        if furthest[at]
    ]
    ways.append(b"".join(b"\\x%02x" % one for one in furthest[:6]) + byte(0, furthest[6], step))
    return b"|".join(ways)


def _decodes(data: memoryview, page_size: int) -> bool:
    """Whether ``migration/xbzrle.c: xbzrle_decode_buffer`` takes a delta."""
    size = len(data)
    at = place = 0
    while at < size <= page_size:
        for zeros in (True, False):
            begin = at
            if size - at < 2:
                return False
            run = data[at]
            at += 1
            if run & 0x80:
                if data[at] & 0x80:
                    return False
                run = run & 0x7F | data[at] << 7
                at += 1
            if not run and (begin or not zeros):
                return False
            place += run
            at += 0 if zeros else run
            if place > page_size or at > size:
                return False
    return size <= page_size
