"""Damaged copies of a stream: one change each, at a place of a chosen kind.

Most places of a stream are large arrays, so bytes are not drawn evenly: a section first, then a
field of it, so that every number of every device is as likely to be hit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from migratable.stream import Section, SectionKind, Stream
from migratable.stream.vmdesc import VmsdBody

_WORDS = (
    b"\0",
    b"\xff",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\0\0\x10\0",
    b"\xff\xff",
    b"\x7f\xff\xff\xff",
)
_SMALL = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One change of the bytes.

    :ivar place: in words, for the report.
    """

    kind: str
    place: str
    offset: int
    removed: int
    put: bytes

    def apply(self, data: bytes) -> bytes:
        """The damaged copy."""
        return data[: self.offset] + self.put + data[self.offset + self.removed :]


def damage(rng: random.Random, data: bytes, stream: Stream) -> Damage | None:
    """One random change; None when the stream has no such place, or nothing would change."""
    if not _devices(stream):  # of a machine that saves only its memory
        return None
    kind = rng.choices(list(_KINDS), [weight for weight, _ in _KINDS.values()])[0]
    found = _KINDS[kind][1](rng, data, stream)
    if found is None:
        return None
    place, offset, removed, put = found
    if data[offset : offset + removed] == put:
        return None
    return Damage(kind=kind, place=place, offset=offset, removed=removed, put=put)


_Change = tuple[str, int, int, bytes]
_Kind = Callable[[random.Random, bytes, Stream], _Change | None]


def _devices(stream: Stream) -> list[Section]:
    return [
        section
        for section in stream.sections
        if section.kind is SectionKind.FULL and section.offset is not None and len(section.body)
    ]


def _leaves(body: VmsdBody, at: int, path: str) -> Iterator[tuple[int, int, str]]:
    """Offset, bytes and name of each field on the wire; every element of small arrays."""
    for item in body.fields:
        if item.struct is not None:
            for number in range(item.count):
                yield from _leaves(item.struct, at, f"{path}.{item.name}" if number < 1 else path)
                at += item.struct.size
        elif item.elements:
            for inner in item.elements:
                yield from _leaves(inner, at, f"{path}.{item.name}")
                at += inner.size
        else:
            yield at, item.total_size, f"{path}.{item.name}"
            at += item.total_size
    for sub in body.subsections:
        at += 6 + len(sub.name)
        yield from _leaves(sub, at, f"{path}/{sub.name}")
        at += sub.size


def _field(rng: random.Random, data: bytes, stream: Stream) -> _Change | None:
    """A number of a device."""
    section = rng.choice(_devices(stream))
    assert section.offset is not None and section.body_offset is not None
    if section.description is None:
        return _byte(rng, data, stream)
    leaves = [leaf for leaf in _leaves(section.description.body, 0, "") if leaf[1]]
    if not leaves:
        return None
    at, size, name = rng.choice(leaves)
    width = min(size, 8)
    step = rng.randrange(size // width) * width if size < _SMALL else 0
    begin = section.body_offset + at + step
    if begin + width > section.body_offset + len(section.body):
        return None
    old = data[begin : begin + width]
    value = int.from_bytes(old, "big")
    bits = 8 * width
    new = rng.choice(
        (
            value ^ 1 << rng.randrange(bits),
            value + 1,
            value - 1,
            0,
            (1 << bits) - 1,
            1 << (bits - 1),
            (1 << (bits - 1)) - 1,
            rng.getrandbits(bits),
            rng.randrange(256),
        )
    )
    put = (new & ((1 << bits) - 1)).to_bytes(width, "big")
    return f"{section.idstr} {name.removeprefix('.')}", begin, width, put


def _byte(rng: random.Random, data: bytes, stream: Stream) -> _Change | None:
    """A byte of a device's body, wherever."""
    section = rng.choice(_devices(stream))
    assert section.body_offset is not None
    at = section.body_offset + rng.randrange(len(section.body))
    put = bytes([data[at] ^ 1 << rng.randrange(8)]) if rng.random() < 0.5 else rng.choice(_WORDS)
    return f"{section.idstr} byte {at - section.body_offset}", at, len(put), put


def _length(rng: random.Random, data: bytes, stream: Stream) -> _Change | None:
    """Bytes more or fewer in a device's body."""
    section = rng.choice(_devices(stream))
    assert section.body_offset is not None
    at = section.body_offset + rng.randrange(len(section.body) + 1)
    count = rng.choice((1, 2, 4, 8))
    if rng.random() < 0.5:
        return f"{section.idstr} longer", at, 0, rng.randbytes(count)
    return f"{section.idstr} shorter", at, count, b""


def _header(rng: random.Random, data: bytes, stream: Stream) -> _Change | None:
    """A section's type, id, name, instance or version."""
    section = rng.choice(_devices(stream))
    assert section.offset is not None and section.body_offset is not None
    place = rng.choice(("type", "id", "name", "instance", "version", "version", "renamed"))
    name = section.body_offset - section.header_size + 6
    length = section.header_size - 14
    if place == "type":
        return f"{section.idstr} type", section.offset, 1, bytes([rng.choice((1, 2, 3, 4, 8, 9))])
    if place == "id":
        return f"{section.idstr} id", section.offset + 4, 1, bytes([rng.randrange(256)])
    if place == "name":
        at = name + rng.randrange(length)
        return f"{section.idstr} name", at, 1, bytes([rng.randrange(32, 127)])
    if place == "renamed":
        other = rng.choice([*(device.idstr for device in _devices(stream)), "ram"]).encode()
        return f"{section.idstr} renamed", name - 1, length + 1, bytes([len(other)]) + other
    at = section.body_offset - (4 if place == "version" else 8)
    old = int.from_bytes(data[at : at + 4], "big")
    new = rng.choice((old + 1, max(old - 1, 0), 0, rng.randrange(8)))
    return f"{section.idstr} {place}", at, 4, new.to_bytes(4, "big")


def _footer(rng: random.Random, data: bytes, stream: Stream) -> _Change | None:
    section = rng.choice(_devices(stream))
    assert section.body_offset is not None
    if not section.footer:
        return None
    at = section.body_offset + len(section.body) + rng.randrange(5)
    return f"{section.idstr} footer", at, 1, bytes([data[at] ^ 1 << rng.randrange(8)])


def _whole(rng: random.Random, data: bytes, stream: Stream) -> _Change | None:
    """A section left out, or sent twice."""
    section = rng.choice(_devices(stream))
    assert section.offset is not None and section.body_offset is not None
    end = section.body_offset + len(section.body) + (5 if section.footer else 0)
    if rng.random() < 0.5:
        return f"{section.idstr} left out", section.offset, end - section.offset, b""
    return f"{section.idstr} twice", end, 0, data[section.offset : end]


def _ram(rng: random.Random, data: bytes, stream: Stream) -> _Change | None:
    """A record of guest memory, or an entry of the block list."""
    sections = [
        section
        for section in stream.sections
        if section.idstr == "ram" and section.offset is not None
    ]
    if not sections:
        return None
    start, rest = sections[0], sections[1:]
    assert start.body_offset is not None
    if rng.random() < 0.4 or not rest:
        at = start.body_offset + rng.randrange(max(1, len(start.body) - 8))
        return "ram block list", at, 1, bytes([data[at] ^ 1 << rng.randrange(8)])
    section = rng.choice([one for one in rest if len(one.body) > 8] or rest)
    assert section.body_offset is not None
    # The records are at the front; after them nearly all bytes are contents of pages.
    at = section.body_offset + rng.randrange(min(len(section.body), 64))
    if rng.random() < 0.5:
        return "ram record", at, 1, bytes([data[at] ^ 1 << rng.randrange(8)])
    page = rng.getrandbits(36) & -stream.page_size
    names = [*(block.id for block in stream.ram_blocks), "nowhere"]
    name = rng.choice(names).encode()
    kind = rng.choice((2, 8, 2, 2, 0x40, 0x200))
    contents = {2: bytes([rng.choice((0, 7))]), 8: bytes(stream.page_size), 0x40: b"\1\0\2\0\1"}
    put = (page | kind).to_bytes(8, "big")
    if kind != 0x200:
        put += bytes([len(name)]) + name + contents[kind]
    begin = section.body_offset + len(section.body) - 8
    return "ram record added", begin, 0, put


def _command(rng: random.Random, data: bytes, stream: Stream) -> _Change | None:
    """A command before a section."""
    section = rng.choice(_devices(stream))
    assert section.offset is not None
    kind = rng.randrange(14)
    payload = rng.choice((b"", b"\0\0\0\1", bytes(16), b"\0"))
    put = b"\x08" + kind.to_bytes(2, "big") + len(payload).to_bytes(2, "big") + payload
    return f"command {kind} with {len(payload)} bytes", section.offset, 0, put


def _configuration(rng: random.Random, data: bytes, stream: Stream) -> _Change | None:
    """The head of the stream, or a subsection of the configuration."""
    first = next(iter(stream.sections), None)
    if stream.configuration is None or first is None or first.offset is None:
        return None
    if rng.random() < 0.5:
        at = rng.randrange(first.offset)
        return "head", at, 1, bytes([data[at] ^ 1 << rng.randrange(8)])
    name, body = rng.choice(
        (
            ("capabilities", b"\0\0\0\1" + _counted("x-ignore-shared")),
            ("capabilities", b"\0\0\0\1" + _counted("mapped-ram")),
            ("capabilities", b"\0\0\0\1" + _counted("moon-phase")),
            ("capabilities", bytes(4)),
            ("target-page-bits", b"\0\0\0\x10"),
            ("target-page-bits", b"\0\0\0\x0c"),
            ("uuid", bytes(16)),
            ("weather", bytes(4)),
        )
    )
    version = rng.choice((1, 1, 1, 0, 2)).to_bytes(4, "big")
    put = b"\x05" + _counted(f"configuration/{name}") + version + body
    return f"configuration/{name}", first.offset, 0, put


def _counted(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _vmdesc(rng: random.Random, data: bytes, stream: Stream) -> _Change | None:
    """The description at the end, which a loader passes over."""
    if stream.vmdesc is None or stream.vmdesc.offset is None:
        return None
    at = stream.vmdesc.offset + rng.randrange(len(stream.vmdesc.raw) + 5)
    return "vmdesc", at, 1, bytes([rng.randrange(256)])


def _end(rng: random.Random, data: bytes, stream: Stream) -> _Change | None:
    """The stream is cut, or more follows."""
    if rng.random() < 0.5:
        at = rng.randrange(8, len(data))
        return f"cut at {at} of {len(data)}", at, len(data) - at, b""
    return "more at the end", len(data), 0, rng.randbytes(rng.choice((1, 8, 100)))


_KINDS: dict[str, tuple[float, _Kind]] = {
    "field": (10, _field),
    "byte": (3, _byte),
    "length": (1, _length),
    "header": (2, _header),
    "footer": (0.5, _footer),
    "section": (1, _whole),
    "ram": (2, _ram),
    "command": (1, _command),
    "configuration": (1, _configuration),
    "vmdesc": (1, _vmdesc),
    "end": (0.5, _end),
}

__all__ = ["Damage", "damage"]
