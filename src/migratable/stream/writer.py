"""A :class:`Stream` to bytes; ``write(read(x)) == x``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

from migratable.errors import StreamError
from migratable.stream import wire_format as layout
from migratable.stream.cursor import Buffer, counted, raw
from migratable.stream.model import Command, Configuration, Element, Section, Span, Stream
from migratable.stream.wire_format import CommandKind, SectionKind


def write(stream: Stream) -> bytes:
    """Return the whole stream as bytes; use :func:`write_to` for a large one.

    :raise StreamError: when a name is longer than its length field can say.
    """
    return b"".join(chunks(stream))


def write_to(stream: Stream, file: BinaryIO) -> int:
    """Write to an open file without the whole stream in memory; return the bytes written."""
    return sum(file.write(chunk) for chunk in chunks(stream))


def chunks(stream: Stream) -> Iterator[Buffer]:
    """Give the stream's bytes in pieces."""
    yield _u32(layout.MAGIC) + _u32(stream.version)
    if stream.configuration is not None:
        yield from _configuration(stream.configuration)
    for element in stream.elements:
        yield from element_chunks(element)
    if stream.eof:
        yield bytes([layout.EOF])
    if stream.vmdesc is not None:
        yield bytes([layout.VMDESCRIPTION]) + _u32(len(stream.vmdesc.raw))
        yield stream.vmdesc.raw
    yield stream.trailer


def _configuration(configuration: Configuration) -> Iterator[Buffer]:
    name = raw(configuration.machine)
    yield bytes([layout.CONFIGURATION]) + _u32(len(name)) + name
    for sub in configuration.subsections:
        yield bytes([layout.SUBSECTION]) + counted(sub.name) + _u32(sub.version)
        yield sub.body


def element_chunks(element: Element) -> Iterator[Buffer]:
    """One element's bytes in pieces."""
    if isinstance(element, Span):
        yield element.data
    elif isinstance(element, Section):
        yield section_header(element)
        yield element.body
        if element.footer:
            yield bytes([layout.SECTION_FOOTER]) + _u32(element.section_id)
    else:
        yield from _command(element)


def section_header(section: Section) -> bytes:
    """From the type byte to the body."""
    head = bytes([section.kind]) + _u32(section.section_id)
    if section.kind in (SectionKind.PART, SectionKind.END):
        return head
    return head + counted(section.idstr) + _u32(section.instance_id) + _u32(section.version_id)


def _command(command: Command) -> Iterator[Buffer]:
    payload = command.payload
    nested = [chunk for inner in command.nested for chunk in element_chunks(inner)]
    if command.kind == CommandKind.PACKAGED:
        payload = _u32(sum(map(len, nested)) + len(command.package_end))
    yield (
        bytes([layout.COMMAND])
        + command.kind.to_bytes(2, "big")
        + len(payload).to_bytes(2, "big")
        + payload
    )
    yield from nested
    yield command.package_end


def _u32(value: int) -> bytes:
    if not 0 <= value < 1 << 32:
        raise StreamError(f"{value} does not fit four bytes")
    return value.to_bytes(4, "big")
