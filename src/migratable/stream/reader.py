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

from collections.abc import Iterator, Mapping
from dataclasses import replace

from migratable.errors import StreamError
from migratable.stream import vmdesc
from migratable.stream import wire_format as layout
from migratable.stream.configuration import configuration_section
from migratable.stream.cursor import Buffer, Cursor
from migratable.stream.model import (
    Command,
    Element,
    Section,
    Span,
    Stream,
)
from migratable.stream.ram import RamStatistics
from migratable.stream.ram_walker import RamWalker, Window
from migratable.stream.reader_backward import (
    find_vmdesc,
    peel_devices,
    strip_padding,
)
from migratable.stream.reader_forward import ForwardReader
from migratable.stream.vmdesc import VmDescription, VmDevice
from migratable.stream.wire_format import SectionKind


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


class _Reader(ForwardReader):
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
