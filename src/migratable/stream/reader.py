"""Bytes to a :class:`Stream`.

The wire has no lengths of device bodies, so they come from elsewhere:

1. vmdesc is found at the end of the file; device sections are then peeled off backwards, each
   checked by its header and footer. This reads some 64 KiB however much RAM there is.
2. What lies between the head and the first device is rounds of ram and the like; they are walked
   record by record when asked for or small, else kept as one :class:`Span`.
3. Without vmdesc (``xen-save-devices-state``, postcopy, ``suppress-vmdesc``) everything is walked
   forward, and a device body ends at the first footer with its section id that something plausible
   follows.

Source: ``migration/savevm.c`` ``qemu_loadvm_state_main`` and its callees; 4.1 to 11.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from migratable.errors import StreamError
from migratable.stream import iterable, vmdesc
from migratable.stream import wire_format as layout
from migratable.stream.configuration import configuration_section
from migratable.stream.cursor import Buffer, Cursor
from migratable.stream.model import (
    Command,
    Configuration,
    Element,
    Section,
    Span,
    Stream,
)
from migratable.stream.ram import RamStart, RamStatistics, RamWalker, Window, read_start
from migratable.stream.reader_backward import (
    find_vmdesc,
    peel_devices,
    plausible_element,
    strip_padding,
)
from migratable.stream.section_header import read_header, read_part_header
from migratable.stream.vmdesc import VmDescription, VmDevice
from migratable.stream.wire_format import CommandKind, SectionKind, footer

SMALL = 16 << 20
"""Rounds of ram up to this many bytes are walked without being asked for."""
MAX_PARTS = 10_000
"""PART and END sections that are kept one by one; further ones become one Span."""
_PAGE_SIZES = (4096, 8192, 65536, 16384, 2048, 1024, 32768)
"""Tried in this order when neither vmdesc nor the configuration tells."""


def read_bytes(
    data: Buffer,
    *,
    ram: bool = False,
    page_size: int | None = None,
    container: str = "raw",
    origin: int = 0,
    facts: Mapping[str, object] | None = None,
    window: Window | None = None,
) -> Stream:
    """Read a stream that begins at the first byte of *data*.

    :param ram: walk all RAM records, however many, for :attr:`Stream.ram_statistics`.
    :param page_size: target page size, when the caller knows it and the stream does not say.
    :param container: what was around the stream, kept with it.
    :param origin: where *data* begins in its file; offsets in mapped-ram headers are the file's.
    :param facts: what the container said, kept with it.
    :param window: reads the same bytes from their file; RAM is then walked through it.
    :raise StreamError: when the stream is malformed or cut short.
    """
    reader = _Reader(memoryview(data), ram=ram, page_size=page_size, origin=origin, window=window)
    return replace(reader.read(), container=container, facts=facts or {})


def read_rounds(span: Span, starts: Mapping[int, Section], page_size: int) -> Iterator[Section]:
    """Take a span apart: its PART and END sections, one at a time.

    :param starts: the START sections of the stream by section id.
    :raise StreamError: when the span is malformed.
    """
    reader = _Reader(memoryview(span.data), ram=True, page_size=page_size)
    reader._starts = dict(starts)
    reader._base = span.offset or 0
    yield from reader.rounds()


def walk_ram(stream: Stream) -> RamStatistics:
    """Walk the RAM records of a stream that was read without them.

    :raise StreamError: when a record is of no known kind, or they end inside one.
    """
    starts = {
        section.section_id: section
        for section in stream.sections
        if section.kind is SectionKind.START
    }
    reader = _Reader(memoryview(b""), ram=True, page_size=stream.page_size)
    walker = RamWalker(stream.page_size, blocks=stream.ram_blocks)
    for element in stream.elements:
        if isinstance(element, Section) and element.idstr == "ram":
            if element.kind in {SectionKind.PART, SectionKind.END}:
                walker.section(element.cursor())
        elif isinstance(element, Span) and not element.undelimited:
            reader._data = memoryview(element.data)
            reader._starts = dict(starts)
            reader._base = element.offset or 0
            reader._walker = walker
            for _ in reader.rounds():
                pass
    return walker.statistics


class _UndelimitedError(Exception):
    """A section's end cannot be found: no vmdesc, no footers."""


class _Reader:
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

    def read(self) -> Stream:
        data = self._data
        cursor = Cursor(data)
        version = self._header(cursor)
        end = strip_padding(data)
        damaged = ""
        try:
            vmdesc = find_vmdesc(data, end)
        except StreamError as error:  # a loader passes over it
            vmdesc, damaged = None, str(error)
        if cursor.peek() == layout.CONFIGURATION:
            described = None if vmdesc is None else vmdesc.configuration
            self._configuration = configuration_section(cursor, described)
        if self._page_size is None:
            self._page_size = self._known_page_size(vmdesc)
        if vmdesc is not None:
            elements, eof = self._with_vmdesc(cursor, vmdesc), True
            trailer = data[end:]
            self._kept = 0
        else:
            elements = self._forward(cursor, len(data))
            open_end = bool(elements) and getattr(elements[-1], "undelimited", False)
            eof = not open_end and cursor.u8() == layout.EOF
            if cursor.peek() == layout.VMDESCRIPTION:
                begin = cursor.pos
                try:
                    vmdesc = self._late_vmdesc(cursor)
                    elements = _attach(elements, vmdesc)
                except StreamError as error:  # kept as it is, in the trailer
                    damaged, cursor.pos = damaged or str(error), begin
            trailer = data[cursor.pos :]
        walker = self._walker
        return Stream(
            version=version,
            configuration=self._configuration,
            elements=tuple(elements),
            eof=eof,
            vmdesc=vmdesc,
            vmdesc_error=damaged,
            trailer=trailer,
            ram=self._ram_start,
            ram_statistics=None if walker is None or self._unwalked else walker.statistics,
            page_size=self._page_size or 4096,
        )

    # Header

    def _header(self, cursor: Cursor) -> int:
        with cursor.within("header"):
            if cursor.remaining < 8:
                raise cursor.error("not a migration stream: shorter than its header")
            magic = cursor.u32()
            if magic != layout.MAGIC:
                raise cursor.error(
                    f"not a migration stream: begins with {magic:#010x}, not 'QEVM'", offset=0
                )
            version = cursor.u32()
            if version != layout.VERSION:
                raise cursor.error(f"stream version {version}, 3 expected", offset=4)
            return version

    def _known_page_size(self, vmdesc: VmDescription | None) -> int | None:
        size = vmdesc.page_size if vmdesc is not None else None
        if size is None and self._configuration is not None:
            bits = self._configuration.target_page_bits
            size = None if bits is None else 1 << bits
        if size is not None and (size < 1024 or size > 1 << 30 or size & (size - 1)):
            raise StreamError(
                f"target page size {size} is not a power of two from 1 KiB to 1 GiB", path="vmdesc"
            )
        return size

    # The two ways through the elements

    def _with_vmdesc(self, cursor: Cursor, vmdesc: VmDescription) -> list[Element]:
        assert vmdesc.offset is not None
        if not vmdesc.devices:  # of a capture: it names none, so all is walked forward
            self._ram = True
        first, devices, self._footers = peel_devices(self._data, vmdesc, cursor.pos)
        left = vmdesc.devices[: len(vmdesc.devices) - len(devices)]
        for device in reversed(left):
            self._described.setdefault((device.idstr, device.instance_id), []).append(device)
        elements = self._forward(cursor, first)
        if cursor.pos < first:
            raise cursor.error(
                f"end of stream marker, but {first - cursor.pos} bytes before the first device"
            )
        return elements + devices

    def _late_vmdesc(self, cursor: Cursor) -> VmDescription:
        offset = cursor.offset
        with cursor.within("vmdesc"):
            cursor.skip(1)
            length = cursor.u32()
            return vmdesc.parse(cursor.bytes(length), offset=offset)

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


def _attach(elements: list[Element], vmdesc: VmDescription) -> list[Element]:
    """Give sections that were found forward their descriptions, where the sizes agree."""
    waiting: dict[tuple[str, int], list[VmDevice]] = {}
    for device in reversed(vmdesc.devices):
        waiting.setdefault((device.idstr, device.instance_id), []).append(device)

    def attached(element: Element) -> Element:
        if isinstance(element, Command) and element.nested:
            return replace(element, nested=tuple(attached(inner) for inner in element.nested))
        if not isinstance(element, Section) or element.kind is not SectionKind.FULL:
            return element
        candidates = waiting.get((element.idstr, element.instance_id))
        if not candidates:
            return element
        device = candidates.pop()
        return replace(element, description=device) if device.size == len(element.body) else element

    return [attached(element) for element in elements]
