"""What a prediction can see of a VM and of a destination, as a key.

Two VMs of one shape get the same verdict from every destination, two destinations of one kind give
the same verdict to every VM. Contents of RAM, the place of a file, and the white space of vmdesc
are not seen; addresses of the destination's process are seen only by what they are relative to.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NewType

from migratable.facts.options import HOST_ONLY
from migratable.facts.ppc import SPR_PVR
from migratable.facts.sections import CONTENT_ONLY, START_TIMES
from migratable.profile.model import Profile
from migratable.profile.tables import LoaderTables
from migratable.stream.cursor import Buffer
from migratable.stream.model import Section, Span, Stream, flatten
from migratable.stream.ram import RamBlock
from migratable.stream.wire_format import SectionKind

Shape = NewType("Shape", bytes)
"""Key of a stream: 20 bytes."""
Kind = NewType("Kind", bytes)
"""Key of a destination: 20 bytes."""

_MOST_KEPT = 64 << 20
_PACK = struct.Struct(">BIIII?")


def shape(stream: Stream) -> Shape:
    """Reduce a stream to what rules can see of it."""
    return Shape(_digest(seen(stream)))


def seen(stream: Stream) -> bytes:
    """What rules can see of a stream, about as long as its sections and its vmdesc."""
    return b"".join(_parts(stream, lambda section: section.body))


def _digest(data: bytes) -> bytes:
    # Processors have instructions for SHA-256.
    return hashlib.sha256(data, usedforsecurity=False).digest()[:20]


def _parts(stream: Stream, body: Callable[[Section], Buffer]) -> list[Buffer]:
    head = f"{stream.version} {stream.eof} {stream.page_size} {len(stream.trailer) > 0}"
    out: list[Buffer] = [_text(head)]
    configuration = stream.configuration
    if configuration is not None:
        out.append(_text(configuration.machine))
        for sub in configuration.subsections:
            out += (_text(sub.name), sub.version.to_bytes(4, "big"), _sized(sub.body))
    if stream.ram is not None:
        out.append(_text(repr([_block(block) for block in stream.ram.blocks])))
    for element in flatten(stream.elements):
        if isinstance(element, Section):
            _section(out, element, body)
        elif isinstance(element, Span):
            # The number of RAM rounds does not matter. Without footers this is all devices.
            out.append(_sized(element.data) if element.undelimited else b"span")
        else:
            out += (b"command", element.kind.to_bytes(4, "big"), _sized(element.payload))
            out.append(_sized(element.package_end))
    if stream.ram_statistics is not None and stream.ram_statistics.faults:
        out.append(_text(repr(stream.ram_statistics.faults)))
    if stream.vmdesc is not None:
        # JSON strings contain no raw control characters, so this is only white space.
        out += (b"vmdesc", stream.vmdesc.raw.translate(None, b"\r\n\t"))
    if stream.facts:
        out.append(_text(json.dumps(dict(stream.facts), sort_keys=True, default=str)))
    return out


def _block(block: RamBlock) -> tuple[object, ...]:
    return (block.id, block.used_length, block.page_size, block.gpa, block.mapped is not None)


def _section(out: list[Buffer], section: Section, body: Callable[[Section], Buffer]) -> None:
    contents = section.idstr in CONTENT_ONLY
    if contents and section.kind in {SectionKind.PART, SectionKind.END}:
        return
    size = 0 if contents else len(section.body)
    head = (
        section.kind,
        section.section_id,
        section.instance_id,
        section.version_id,
        size,
        section.footer,
    )
    out.append(_PACK.pack(*head) + _text(section.idstr))
    if not contents:
        out.append(body(section))


def _sized(data: Buffer) -> bytes:
    return len(data).to_bytes(8, "big") + bytes(data)


class Shapes:
    """Shapes of many streams; equal ones are recognised without computing anything.

    What was seen is kept up to a limit, for a comparison is faster than a digest.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._known: dict[bytes, Shape] = {}
        self._size = 0

    def of(self, stream: Stream) -> Shape:
        """The stream's :func:`shape`."""
        data = seen(stream)
        shape = self._known.get(data)
        if shape is None:
            shape = Shape(_digest(data))
            if self._size < _MOST_KEPT:
                self._known[data] = shape
                self._size += len(data)
        return shape


def _without_clocks(section: Section) -> Buffer:
    """A section's body with zeros where it tells when the machine was started."""
    wanted = START_TIMES.get(section.idstr)
    if wanted is None:
        return section.body
    from migratable.stream.fields import decode  # noqa: PLC0415 -- profiles only

    body = bytearray(section.body)
    start = section.body_offset or 0
    for path, field in decode(section).walk():
        if path[-1] in wanted:
            begin = field.offset - start
            kept = bytes(body[begin + 8 * SPR_PVR : begin + 8 * SPR_PVR + 8])
            body[begin : begin + field.size] = bytes(field.size)
            if path[-1] == "env.spr":
                body[begin + 8 * SPR_PVR : begin + 8 * SPR_PVR + 8] = kept
    return bytes(body)


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return len(data).to_bytes(4, "big") + data


def kind(profile: Profile) -> Kind:
    """Reduce a destination to what rules can see of it."""
    document = profile.to_json()
    for name in ("program", "inert", "notes", "taken", "loader"):
        document.pop(name, None)
    document["command_line"] = list(_looked_at(profile.command_line))
    document["stream"] = shape_of_bytes(profile.stream)
    document["loader"] = None if profile.loader is None else _loader(profile.loader)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return Kind(hashlib.blake2b(text.encode(), digest_size=20).digest())


def _looked_at(command_line: tuple[str, ...]) -> Iterator[str]:
    """Words of a command line but those that name things of the host, or the VM itself."""
    words = iter(command_line[1:])
    for word in words:
        name = word.lstrip("-")
        if not word.startswith("-") or name not in HOST_ONLY:
            yield re.sub(r",(?:mac|serial|wwn)=[^,]*", "", word)
        else:
            next(words, None)


def shape_of_bytes(data: bytes) -> str:
    """Reduce a profile's own stream, which may be missing."""
    if not data:
        return ""
    from migratable.stream import read  # noqa: PLC0415 -- only profiles with a stream need it

    stream = read(data)
    # The number of rounds of an iterated section (spapr/htab) depends on the machine's load.
    told = tuple(
        element
        for element in stream.elements
        if not (isinstance(element, Section) and element.kind is SectionKind.PART)
    )
    return _digest(b"".join(_parts(replace(stream, elements=told), _without_clocks))).hex()


def _loader(tables: LoaderTables) -> object:
    """The loader's tables with addresses made relative.

    Addresses differ from process to process. A function is named by the order in which it is met.
    """
    document = tables.to_json()
    document["handlers"] = [[*row[:5], *row[6:]] for row in document["handlers"]]
    functions: dict[int, int] = {}
    for vmsd in document["vmsds"]:
        for field in vmsd["fields"]:
            if "test" in field:
                field["test"] = functions.setdefault(field["test"], len(functions) + 1)
    document["words"] = list(_words(tables))
    return document


def _is_pointer(value: int, width: int) -> bool:
    """Whether a word is an address of the process.

    Where Linux places a program and its heap, bit 46 is set and those above are not. What is not
    recognised only makes equal destinations look different.
    """
    return width == 8 and value >> 46 == 1 and value % 8 == 0


def _words(tables: LoaderTables) -> Iterator[tuple[object, ...]]:
    """Words of memory by the object that they are in and their place in it.

    Objects are the handlers', then those that pointers lead to, in the order in which they are met.
    """
    pointers = {value for (_, width), value in tables.words.items() if _is_pointer(value, width)}
    bases = sorted(pointers.union(handler.opaque for handler in tables.handlers))
    inside: dict[int, list[tuple[int, int, int]]] = {}
    for (address, width), value in tables.words.items():
        before = bisect_right(bases, address) - 1
        base = bases[before] if before >= 0 else 0
        inside.setdefault(base, []).append((address - base, width, value))
    names = {
        base: address for address, base in enumerate(handler.opaque for handler in tables.handlers)
    }
    met = list(names)
    for base in met:
        for place, width, value in sorted(inside.pop(base, ())):
            shown: object = value
            if _is_pointer(value, width):
                if value not in names:
                    names[value] = len(names) + len(tables.handlers)
                    met.append(value)
                shown = ("at", names[value])
            yield (names[base], place, width, shown)
    for base in sorted(inside):
        yield ("elsewhere", base, *sorted(inside[base]))
