"""Walk the page records of ``ram`` sections (their grammar: :mod:`.ram`)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from migratable.stream.cursor import Cursor
from migratable.stream.ram import MAX_BLOCKS, BlockCount, RamBlock, RamFault, RamStatistics
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
