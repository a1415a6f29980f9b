"""Read a stream's elements forward: sections, rounds of iterated ones, commands.

Where no description gives its size, a device body ends at the first footer with its section id
that something plausible follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from migratable.errors import StreamError
from migratable.stream import iterable
from migratable.stream import wire_format as layout
from migratable.stream.cursor import Cursor
from migratable.stream.model import (
    Command,
    Configuration,
    Element,
    Section,
    Span,
)
from migratable.stream.ram import RamStart, read_start
from migratable.stream.ram_walker import RamWalker, Window
from migratable.stream.reader_backward import (
    plausible_element,
)
from migratable.stream.section_header import read_header, read_part_header
from migratable.stream.vmdesc import VmDevice
from migratable.stream.wire_format import CommandKind, SectionKind, footer

SMALL = 16 << 20
"""Rounds of ram up to this many bytes are walked without being asked for."""
MAX_PARTS = 10_000
"""PART and END sections that are kept one by one; further ones become one Span."""
_PAGE_SIZES = (4096, 8192, 65536, 16384, 2048, 1024, 32768)
"""Tried in this order when neither vmdesc nor the configuration tells."""


class _UndelimitedError(Exception):
    """A section's end cannot be found: no vmdesc, no footers."""


class ForwardReader:
    """Elements one after the other, from a place in the stream on.

    A package of postcopy is read as a stream inside of it.
    """

    def __init__(
        self,
        data: memoryview,
        *,
        ram: bool,
        page_size: int | None,
        origin: int = 0,
        window: Window | None = None,
    ) -> None:
        self._data = data
        self._window = window
        self._origin = origin
        self._ram = ram
        self._page_size = page_size
        self._configuration: Configuration | None = None
        self._starts: dict[int, Section] = {}
        self._ram_start: RamStart | None = None
        self._walker: RamWalker | None = None
        self._unwalked = False
        self._footers: bool | None = None
        self._described: dict[tuple[str, int], list[VmDevice]] = {}
        self._kept = 0
        self._parts = 0
        self._base = 0

    def rounds(self) -> Iterator[Section]:
        """Yield the PART and END sections that are all there is in the data."""
        cursor = Cursor(self._data, base=self._base)
        while cursor.remaining:
            if cursor.peek() in (layout.SECTION_PART, layout.SECTION_END):
                yield self._part(cursor)
            elif cursor.peek() == layout.COMMAND:
                self._command(cursor, 0)
            else:
                raise cursor.error(f"RAM round expected, got byte {cursor.peek()}")

    def _forward(self, cursor: Cursor, end: int, depth: int = 0) -> list[Element]:
        """Read elements up to *end* or an EOF byte, which is left unread."""
        elements: list[Element] = []
        tail_known = end < len(self._data)
        cursor.end = end
        while cursor.pos < end:
            kind = cursor.data[cursor.pos]
            if kind == layout.EOF:
                break
            if kind in (layout.SECTION_PART, layout.SECTION_END):
                if tail_known and not depth and not self._ram and end - cursor.pos > SMALL:
                    elements.append(Span(data=self._data[cursor.pos : end], offset=cursor.offset))
                    self._unwalked = True
                    cursor.pos = end
                    break
                self._append_part(elements, self._part(cursor))
                continue
            self._kept += 1
            if self._kept > layout.MAX_ELEMENTS:
                raise cursor.error(f"more than {layout.MAX_ELEMENTS} sections and commands")
            if kind in (layout.SECTION_START, layout.SECTION_FULL):
                start = cursor.pos
                try:
                    elements.append(self._section(cursor))
                except _UndelimitedError:
                    elements.append(self._undelimited(cursor, start, depth))
                    break
            elif kind == layout.COMMAND:
                elements.append(self._command(cursor, depth))
            else:
                raise cursor.error(f"unknown section type {kind:#x}")
        cursor.end = len(self._data)
        return elements

    def _undelimited(self, cursor: Cursor, start: int, depth: int) -> Span:
        """Take the rest as it is: nothing says where its sections end."""
        cursor.leave()
        cursor.pos = start
        if depth:
            raise cursor.error(
                "without vmdesc and section footers the end of a section cannot be found"
            )
        data = self._data[start : cursor.end]
        span = Span(data=data, offset=cursor.offset, undelimited=True)
        cursor.pos = cursor.end
        return span

    def _append_part(self, elements: list[Element], section: Section) -> None:
        self._parts += 1
        if self._parts <= MAX_PARTS:
            elements.append(section)
            return
        assert section.offset is not None
        begin, count = section.offset, 1
        end = begin + section.header_size + len(section.body) + (5 if section.footer else 0)
        last = elements[-1] if elements else None
        if isinstance(last, Span) and last.offset is not None:
            begin, count = last.offset, last.sections + 1
            elements.pop()
        elements.append(Span(data=self._data[begin:end], offset=begin, walked=True, sections=count))

    # Elements

    def _section(self, cursor: Cursor) -> Section:
        offset = cursor.offset
        header = read_header(cursor)
        kind, section_id = header.kind, header.section_id
        section = Section(
            kind=kind,
            section_id=section_id,
            idstr=header.idstr,
            instance_id=header.instance_id,
            version_id=header.version_id,
            body=b"",
            offset=offset,
        )
        with cursor.within(section.name):
            start = cursor.pos
            described = self._described.get((header.idstr, header.instance_id))
            description = None
            if kind is SectionKind.START:
                self._start_body(cursor, section)
            elif described:
                description = described.pop()
                cursor.skip(description.size)
            else:
                self._to_footer(cursor, section_id)
            body = self._data[start : cursor.pos]
            footer = self._footer(cursor, section_id)
        section = replace(section, body=body, footer=footer, description=description)
        if kind is SectionKind.START:
            if len(self._starts) >= 1000:
                raise cursor.error("more than 1000 iterated sections")
            self._starts[section_id] = section
        return section

    def _start_body(self, cursor: Cursor, section: Section) -> None:
        if section.idstr == "ram":
            capabilities = () if self._configuration is None else self._configuration.capabilities
            start = read_start(
                cursor,
                gpa="x-ignore-shared" in capabilities,
                mapped="mapped-ram" in capabilities,
                origin=self._origin,
            )
            self._ram_start = self._ram_start or start
            return
        walk = iterable.start_walker(section.idstr)
        if walk is not None:
            walk(cursor)
        else:
            self._to_footer(cursor, section.section_id)

    def _part(self, cursor: Cursor) -> Section:
        offset = cursor.offset
        kind, section_id, start = read_part_header(cursor, self._starts)
        with cursor.within(f"section {start.idstr!r} {start.instance_id} {kind.name}"):
            begin = cursor.pos
            walk = iterable.walker(start.idstr)
            if start.idstr == "ram":
                self._ram_walker(cursor).section(cursor)
            elif walk is not None:
                walk(cursor)
            else:
                self._to_footer(cursor, section_id)
            body = self._data[begin : cursor.pos]
            footer = self._footer(cursor, section_id)
        return replace(start, kind=kind, body=body, offset=offset, footer=footer, description=None)

    def _ram_walker(self, cursor: Cursor) -> RamWalker:
        if self._walker is None:
            if self._page_size is None:
                self._page_size = self._guess_page_size(cursor)
            start = self._ram_start
            self._walker = RamWalker(
                self._page_size, self._window, blocks=None if start is None else start.blocks
            )
        return self._walker

    def _guess_page_size(self, cursor: Cursor) -> int:
        """Find the first page size with which this body can be walked and its footer follows."""
        for size in _PAGE_SIZES:
            attempt = Cursor(cursor.data, cursor.pos, end=cursor.end)
            try:
                RamWalker(size).section(attempt)
            except StreamError:
                continue
            if attempt.peek() == layout.SECTION_FOOTER or self._footers is False:
                return size
        return _PAGE_SIZES[0]

    def _footer(self, cursor: Cursor, section_id: int) -> bool:
        if self._footers is None:
            self._footers = cursor.peek() == layout.SECTION_FOOTER
        if not self._footers:
            return False
        if cursor.peek() != layout.SECTION_FOOTER:
            if cursor.peek() is None:
                raise cursor.error("stream ends early: section footer expected")
            raise cursor.error(f"section footer expected, got byte {cursor.peek():#x}")
        cursor.skip(1)
        number = cursor.u32()
        if number != section_id:
            raise cursor.error(
                f"section footer has id {number}, its section {section_id}",
                offset=cursor.offset - 4,
            )
        return True

    def _to_footer(self, cursor: Cursor, section_id: int) -> None:
        """Move to the first footer of this section that something plausible follows."""
        if self._footers is False:
            raise _UndelimitedError
        pattern = re.compile(re.escape(footer(section_id)))
        begin = cursor.pos
        while (header := pattern.search(cursor.data, begin, cursor.end)) is not None:
            if plausible_element(cursor.data, header.end(), cursor.end, self._starts):
                cursor.pos = header.start()
                self._footers = True
                return
            begin = header.start() + 1
        raise cursor.error(f"stream ends early: footer of section id {section_id} is missing")

    def _command(self, cursor: Cursor, depth: int) -> Command:
        offset = cursor.offset
        with cursor.within("command"):
            cursor.skip(1)
            kind = cursor.u16()
            payload = cursor.view(cursor.u16())
            if kind != CommandKind.PACKAGED:
                return Command(kind=kind, payload=payload, offset=offset)
            if len(payload) != 4:
                raise cursor.error(f"PACKAGED with {len(payload)} bytes of payload, not 4")
            size = int.from_bytes(payload, "big")
            if size > cursor.remaining:
                raise cursor.error(
                    f"stream ends early: package of {size} bytes, {cursor.remaining} left"
                )
            if depth >= 8:
                raise cursor.error("packages nested more than 8 deep")
        outer, end = cursor.end, cursor.pos + size
        nested = self._forward(cursor, end, depth + 1)
        cursor.end = outer
        rest = self._data[cursor.pos : end]
        cursor.pos = end
        return Command(
            kind=kind, payload=payload, offset=offset, nested=tuple(nested), package_end=rest
        )
