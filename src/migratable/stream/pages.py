"""Contents of single RAM pages, and RAM sections made from them.

A rehearsal leaves RAM out except for the few pages that loaders read; these come from here.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from migratable.errors import StreamError
from migratable.stream.cursor import Buffer, Cursor, counted
from migratable.stream.model import Section, Span, Stream, flatten
from migratable.stream.ram import RamBlock, read_start
from migratable.stream.reader import read_rounds
from migratable.stream.wire_format import RamFlag, SectionKind

RAM_VERSION = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRecord:
    """One page record of the stream.

    :ivar page: offset in the block, bytes.
    :ivar kind: PAGE, ZERO, XBZRLE or COMPRESS_PAGE.
    :ivar data: a page, the fill byte, or what the encoding has.
    """

    block: str
    page: int
    kind: RamFlag
    data: memoryview


def records(stream: Stream) -> Iterator[PageRecord]:
    """All page records in the order of the wire; a page may come more than once.

    :raise StreamError: when a record is of no known kind or the stream ends inside one.
    """
    block: str | None = None
    for section in ram_bodies(stream):
        cursor = section.cursor()
        block = yield from _records(cursor, block, stream.page_size)


def _records(
    cursor: Cursor, block: str | None, page_size: int
) -> Generator[PageRecord, None, str | None]:
    """Yield the records of one body; return the block that the next body continues."""
    mask = page_size - 1
    while True:
        head = cursor.u64()
        kind = head & mask & ~RamFlag.CONTINUE
        if kind == RamFlag.EOS:
            return block
        if kind == RamFlag.MULTIFD_FLUSH:
            continue
        if not head & RamFlag.CONTINUE:
            block = cursor.counted()
        if block is None:
            raise cursor.error("RAM page continues a block, and none came before")
        if kind == RamFlag.PAGE:
            data = cursor.view(page_size)
        elif kind == RamFlag.ZERO:
            data = cursor.view(1)
        elif kind == RamFlag.XBZRLE:
            cursor.skip(1)
            data = cursor.view(cursor.u16())
        elif kind == RamFlag.COMPRESS_PAGE:
            data = cursor.view(cursor.u32())
        else:
            raise cursor.error(f"unknown RAM flags {head & mask:#x}")
        yield PageRecord(block=block, page=head & ~mask, kind=RamFlag(kind), data=data)


def ram_bodies(stream: Stream) -> Iterator[Section]:
    """RAM PART and END sections of ram PART and END sections, those inside spans too."""
    starts = {one.section_id: one for one in stream.sections if one.kind is SectionKind.START}
    for element in flatten(stream.elements):
        inner = read_rounds(element, starts, stream.page_size) if isinstance(element, Span) else ()
        for section in (element, *inner):
            if (
                isinstance(section, Section)
                and section.idstr == "ram"
                and section.kind in (SectionKind.PART, SectionKind.END)
            ):
                yield section


def find_pages(
    stream: Stream, wanted: Mapping[str, Collection[int]]
) -> dict[tuple[str, int], bytes]:
    """Give the last contents of some pages.

    :param wanted: block id to page offsets (bytes, multiples of the target page size).
    :return: by block and offset; pages that the stream does not hold are missing.
    :raise StreamError: when the RAM records cannot be read.
    """
    size = stream.page_size
    found: dict[tuple[str, int], bytes] = {}
    mapped = {block.id: block for block in stream.ram_blocks if block.mapped is not None}
    for block_id, offsets in wanted.items():
        if block_id in mapped:
            _mapped_pages(stream, mapped[block_id], offsets, found)
    if mapped:
        return found
    for record in records(stream):
        if record.page not in wanted.get(record.block, ()):
            continue
        key = (record.block, record.page)
        if record.kind is RamFlag.ZERO:
            found[key] = bytes(record.data) * size
        elif record.kind is RamFlag.PAGE:
            found[key] = bytes(record.data)
        elif record.kind is RamFlag.XBZRLE:
            found[key] = xbzrle(found.get(key, bytes(size)), record.data)
        else:
            found[key] = _inflate(record.data, size)
    return found


def _inflate(data: Buffer, size: int) -> bytes:
    try:
        page = zlib.decompressobj().decompress(bytes(data), size)
    except zlib.error as error:
        raise StreamError(
            f"compressed RAM page is damaged: {error}", path="section 'ram'"
        ) from None
    return page.ljust(size, b"\0")


def xbzrle(old: bytes, encoded: Buffer) -> bytes:
    """Apply one XBZRLE record to the page's earlier contents (``migration/xbzrle.c``).

    :raise StreamError: when a run leaves the page.
    """
    page = bytearray(old)
    cursor = Cursor(encoded, path="XBZRLE page")
    at = 0
    while cursor.remaining:
        at += _uleb(cursor)
        if not cursor.remaining:
            break
        run = cursor.view(_uleb(cursor))
        if at + len(run) > len(page):
            raise cursor.error("run leaves the page")
        page[at : at + len(run)] = run
        at += len(run)
    return bytes(page)


def _uleb(cursor: Cursor) -> int:
    first = cursor.u8()
    return first if first < 0x80 else (first & 0x7F) | cursor.u8() << 7


def _mapped_pages(
    stream: Stream, block: RamBlock, offsets: Collection[int], found: dict[tuple[str, int], bytes]
) -> None:
    header = block.mapped
    start = stream.device("ram")
    assert header is not None and start is not None and start.body_offset is not None
    for offset in offsets:
        if not 0 <= offset < block.used_length:
            continue
        index = offset // header.page_size
        base = -start.body_offset
        byte = start.body[base + header.bitmap_offset + _bitmap_byte(index)]
        at = base + header.pages_offset + offset
        stored = byte >> (index % 8) & 1
        page = bytes(start.body[at : at + header.page_size])
        found[block.id, offset] = page if stored else bytes(header.page_size)


def _bitmap_byte(index: int) -> int:
    """Words of the bitmap are the source host's own; little-endian ones are byte-addressable."""
    return index // 8


# Sections that are made


def ram_start(
    blocks: Sequence[RamBlock], *, section_id: int = 0x7000, footer: bool = True
) -> Section:
    """Make a ``ram`` START section with this block list."""
    total = sum(block.used_length for block in blocks)
    body = (total | RamFlag.MEM_SIZE).to_bytes(8, "big")
    for block in blocks:
        body += counted(block.id) + block.used_length.to_bytes(8, "big")
        for extra in (block.page_size, block.gpa):
            body += b"" if extra is None else extra.to_bytes(8, "big")
    body += int(RamFlag.EOS).to_bytes(8, "big")
    read_start(Cursor(body), gpa=any(block.gpa is not None for block in blocks))
    return _ram(SectionKind.START, body, section_id, footer=footer)


def ram_end(
    pages: Iterable[tuple[str, int, bytes]] = (), *, section_id: int = 0x7000, footer: bool = True
) -> Section:
    """Make a ``ram`` END section that carries these pages: block id, offset, contents.

    A page given as one byte becomes a zero page with that value.
    """
    body = bytearray()
    last = None
    for block, offset, data in pages:
        zero = not any(data) or len(data) == 1
        head = offset | (RamFlag.ZERO if zero else RamFlag.PAGE)
        if block == last:
            head |= RamFlag.CONTINUE
        body += head.to_bytes(8, "big")
        body += b"" if block == last else counted(block)
        body += data[:1] if zero else data
        last = block
    body += int(RamFlag.EOS).to_bytes(8, "big")
    return _ram(SectionKind.END, bytes(body), section_id, footer=footer)


def _ram(kind: SectionKind, body: bytes, section_id: int, *, footer: bool) -> Section:
    return Section(
        kind=kind,
        section_id=section_id,
        idstr="ram",
        instance_id=0,
        version_id=RAM_VERSION,
        body=body,
        footer=footer,
    )
