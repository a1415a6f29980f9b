"""What a prediction can see of a VM and of a destination, as a key.

Two VMs of one shape get the same verdict from every destination, two destinations of one kind give
the same verdict to every VM. Contents of RAM, the place of a file, and the white space of vmdesc
are not seen; addresses of the destination's process are seen only by what they are relative to.
"""

from __future__ import annotations

import hashlib
import json
import struct
from bisect import bisect_right
from typing import NewType

from migratable.profile.loader import LoaderTables
from migratable.profile.model import Profile
from migratable.stream.layout import SectionKind
from migratable.stream.model import Section, Span, Stream, flatten

Shape = NewType("Shape", bytes)
"""Key of a stream: 20 bytes."""
Kind = NewType("Kind", bytes)
"""Key of a destination: 20 bytes."""

_CONTENT_ONLY = frozenset({"ram", "block", "dirty-bitmap"})
"""Iterated sections whose rounds carry contents of memory and disks."""
_PACK = struct.Struct(">BIIII?")


def shape(stream: Stream) -> Shape:
    """Reduce a stream to what rules can see of it."""
    digest = hashlib.blake2b(digest_size=20)
    put = digest.update
    put(f"{stream.version} {stream.eof} {stream.page_size} {len(stream.trailer) > 0}".encode())
    found = stream.configuration
    if found is not None:
        put(_text(found.machine))
        for sub in found.subsections:
            put(_text(sub.name) + sub.version.to_bytes(4, "big") + len(sub.body).to_bytes(4, "big"))
            put(sub.body)
    if stream.ram is not None:
        for block in stream.ram.blocks:
            put(_text(f"{block.id} {block.used_length} {block.page_size} {block.gpa}"))
            put(b"m" if block.mapped is not None else b"-")
    for element in flatten(stream.elements):
        if isinstance(element, Section):
            _section(put, element)
        elif isinstance(element, Span):
            put(b"span")  # rounds of RAM: how many there are is not seen
        else:
            put(b"command" + element.kind.to_bytes(4, "big") + len(element.payload).to_bytes(4))
            put(element.payload)
            put(b"end" + bytes(element.package_end))
    if stream.vmdesc is not None:
        # Inside JSON's strings there are no raw control characters, so this is white space only.
        put(stream.vmdesc.raw.translate(None, b"\r\n\t"))
    put(_text(json.dumps(dict(stream.facts), sort_keys=True, default=str)))
    return Shape(digest.digest())


def _section(put: object, one: Section) -> None:
    assert callable(put)
    iterated = one.kind in {SectionKind.PART, SectionKind.END}
    if iterated and one.idstr in _CONTENT_ONLY:
        return
    seen = not (one.idstr in _CONTENT_ONLY and one.kind is SectionKind.START)
    size = len(one.body) if seen else 0
    head = (one.kind, one.section_id, one.instance_id, one.version_id, size, one.footer)
    put(_PACK.pack(*head) + _text(one.idstr))
    if seen:
        put(one.body)


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    return len(data).to_bytes(4, "big") + data


def kind(profile: Profile) -> Kind:
    """Reduce a destination to what rules can see of it."""
    document = profile.to_json()
    for name in ("program", "command_line", "inert", "notes", "taken", "loader", "vmstate"):
        document.pop(name, None)
    document["stream"] = shape_of_bytes(profile.stream)
    document["vmstate"] = hashlib.blake2b(profile.vmstate).hexdigest()
    document["loader"] = None if profile.loader is None else _loader(profile.loader)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), default=str)
    return Kind(hashlib.blake2b(text.encode(), digest_size=20).digest())


def shape_of_bytes(data: bytes) -> str:
    """Reduce a profile's own stream, which may be missing."""
    if not data:
        return ""
    from migratable.stream import read  # noqa: PLC0415 -- only profiles with a stream need it

    return shape(read(data)).hex()


def _loader(tables: LoaderTables) -> object:
    """The loader's tables with addresses made relative.

    Addresses differ from process to process. An object is named by its place among the handlers, a
    word by the object before it and the distance, a function by the order in which it is met.
    """
    document = tables.to_json()
    bases = sorted({handler.opaque for handler in tables.handlers})
    place = {base: number for number, base in enumerate(bases)}
    order: dict[int, int] = {}
    for handler in tables.handlers:
        order.setdefault(handler.opaque, len(order))
    document["handlers"] = [
        [*row[:5], order[handler.opaque], *row[6:]]
        for row, handler in zip(document["handlers"], tables.handlers, strict=True)
    ]
    functions: dict[int, int] = {}
    for one in document["vmsds"]:
        for field in one["fields"]:
            if "test" in field:
                field["test"] = functions.setdefault(field["test"], len(functions) + 1)
    words = []
    for (at, width), value in tables.words.items():
        before = bisect_right(bases, at) - 1
        base = bases[before] if before >= 0 else 0
        name = order[base] if base in place else -1
        words.append((name, at - base, width, _relative(value, bases, order)))
    document["words"] = sorted(words, key=str)
    return document


def _relative(value: int, bases: list[int], order: dict[int, int]) -> object:
    """A pointer to near an object by that object; other values as they are."""
    if value < 1 << 32:
        return value
    before = bisect_right(bases, value) - 1
    if before >= 0 and value - bases[before] < 1 << 20:
        return [order[bases[before]], value - bases[before]]
    return value
