"""Streams of a few hundred bytes, and the golden ones."""

from __future__ import annotations

import json
import lzma
from functools import cache
from pathlib import Path
from typing import Any

from migratable.stream import RamBlock, Section, Stream, read, write
from migratable.stream.edit import full_section, make_stream
from migratable.stream.pages import ram_end, ram_start
from migratable.stream.vmdesc import parse

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "streams"
NAMES = sorted(path.name.removesuffix(".mig.xz") for path in GOLDEN.glob("*.xz"))


@cache
def golden(name: str) -> bytes:
    """One of the committed streams."""
    return lzma.decompress((GOLDEN / f"{name}.mig.xz").read_bytes())


def device(
    idstr: str, body: bytes, members: dict[str, Any], *, number: int, instance: int = 0
) -> tuple[Section, dict[str, Any]]:
    """A FULL section and its entry in vmdesc."""
    entry = {"name": idstr, "instance_id": instance} | members
    version = members.get("version", 1)
    return full_section(idstr, instance, version, body, section_id=number), entry


def timer(ticks: int = 1, offset: int = 2) -> tuple[bytes, dict[str, Any]]:
    """The section ``timer`` as every machine has it."""
    body = ticks.to_bytes(8, "big", signed=True) + bytes(8) + offset.to_bytes(8, "big")
    fields = [
        {"name": "cpu_ticks_offset", "type": "int64", "size": 8},
        {"name": "unused", "type": "unused_buffer", "size": 8},
        {"name": "cpu_clock_offset", "type": "int64", "size": 8},
    ]
    return body, {"vmsd_name": "timer", "version": 2, "fields": fields}


def nested() -> tuple[bytes, dict[str, Any]]:
    """Structs, arrays, a list with repeated keys, and a subsection."""
    sub = b"\x05" + bytes([len("thing/more")]) + b"thing/more" + (3).to_bytes(4, "big") + b"\x01"
    body = (
        bytes([0, 1, 0, 2, 0, 3])  # counts
        + bytes([7, 1, 9, 0])  # two points
        + bytes([1, 5, 1, 6, 0])  # a list of two
        + b"abcd"
        + sub
    )
    point = [{"name": "x", "type": "uint8", "size": 1}, {"name": "on", "type": "bool", "size": 1}]
    fields = [
        {"name": "counts", "array_len": 3, "type": "uint16", "size": 2},
        {
            "name": "points",
            "array_len": 2,
            "type": "struct",
            "struct": {"vmsd_name": "point", "version": 1, "fields": point},
            "size": 2,
        },
        {"name": "queue", "type": "qtailq", "@": 2, "size": 5},
        {"name": "blob", "type": "buffer", "size": 4},
    ]
    more = [{"name": "extra", "type": "bool", "size": 1}]
    subsections = [{"vmsd_name": "thing/more", "version": 3, "fields": more}]
    members = {"vmsd_name": "thing", "version": 4, "fields": fields, "subsections": subsections}
    return body, members


def stream(*, pages: tuple[tuple[str, int, bytes], ...] = (), vmdesc: bool = True) -> Stream:
    """Configuration, two RAM blocks, ``timer`` and ``thing``."""
    blocks = [RamBlock(id="pc.ram", used_length=8192), RamBlock(id="rom", used_length=4096)]
    first, one = device("timer", *timer(), number=3)
    second, two = device("0000:00:01.0/thing", *nested(), number=9, instance=0x80000000)
    two["instance_id"] = -0x80000000  # as 4.1 and 4.2 wrote it
    elements = [ram_start(blocks), ram_end(pages), first, second]
    made = make_stream("pc-q35-4.1", elements)
    data = write(made)
    if vmdesc:
        text = json.dumps({"page_size": 4096, "devices": [one, two]})
        element = '"vmsd_name": "entry", "version": 1, "fields": ['
        element += '{"name": "v", "type": "uint8", "size": 1}]'
        text = text.replace('"@": 2', f"{element}, {element}")
        raw = text.encode()
        parse(raw)
        data += b"\x06" + len(raw).to_bytes(4, "big") + raw
    return read(data)


def data(**options: Any) -> bytes:
    """The same as bytes."""
    return write(stream(**options))
