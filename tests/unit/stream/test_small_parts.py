"""Iterated handlers, multifd channels, cursors."""

from __future__ import annotations

import struct
import uuid

import pytest

from migratable.errors import StreamError
from migratable.stream.containers import multifd
from migratable.stream.cursor import Cursor, counted, raw, text
from migratable.stream.iterable import HtabChunk, read_htab, walker


def test_htab() -> None:
    body = struct.pack(">IIHH", 0, 5, 2, 3) + bytes(32) + struct.pack(">IHH", 10, 0, 7) + bytes(8)
    assert read_htab(Cursor(body)) == (
        HtabChunk(index=5, valid=2, invalid=3),
        HtabChunk(index=10, valid=0, invalid=7),
    )
    assert read_htab(Cursor(b"\xff" * 4)) == ()
    with pytest.raises(StreamError, match="shift 21"):
        read_htab(Cursor(b"\0\0\0\x15"))
    for length in range(4, len(body)):
        with pytest.raises(StreamError):
            read_htab(Cursor(body[:length]))


BODIES = {
    "dirty-bitmap": counted("x")[:0]
    + b"\x1c"
    + counted("node")
    + counted("map")
    + b"\0\0\xff\xff\1"
    + b"\x42"
    + bytes(12)
    + b"\x40"
    + bytes(12)
    + struct.pack(">Q", 3)
    + b"abc"
    + b"\x20\x01",
    "block": struct.pack(">Q", 0x200 | 9) + counted("d") + struct.pack(">QQ", 0x6404, 2),
    "0000:00:05.0/vfio": struct.pack(">QQ", 0xFFFFFFFFEF100004, 4)
    + b"data"
    + struct.pack(">Q", 0xFFFFFFFFEF100001),
    "s390-storage_attributes": struct.pack(">QQ", 0x1002, 4) + b"keys" + struct.pack(">QQ", 8, 1),
}


@pytest.mark.parametrize("name", BODIES)
def test_bodies_that_end_themselves(name: str) -> None:
    walk = walker(name)
    assert walk is not None
    cursor = Cursor(BODIES[name] + b"after")
    walk(cursor)
    assert cursor.remaining == 5
    for length in range(len(BODIES[name])):
        with pytest.raises(StreamError):
            walk(Cursor(BODIES[name][:length]))


def packet(name: str, normal: int, zero: int, *, sync: bool = False, stale: int = 0) -> bytes:
    size = normal * 4096 or stale
    head = struct.pack(">7IQ", multifd.MAGIC, 1, sync, 0 if sync else 128, normal, size, 0, 1)[:32]
    head = struct.pack(
        ">6IQ", multifd.MAGIC, 1, sync, 0 if sync else 128, normal, size, 1
    ) + struct.pack(">I28x", zero)
    return head + name.encode().ljust(256, b"\0") + bytes(8 * 128) + bytes(normal * 4096)


def test_multifd() -> None:
    vm = uuid.UUID(int=5)
    data = struct.pack(">II16sB39x", multifd.MAGIC, 1, vm.bytes, 3)
    assert multifd.is_channel(memoryview(data))
    data += packet("", 0, 0, sync=True, stale=999) + packet("pc.ram", 3, 5) + packet("rom", 0, 1)
    found = multifd.read_channel(data)
    assert (found.id, found.uuid, found.packets, found.syncs) == (3, vm, 3, 1)
    assert (found.blocks["pc.ram"].normal, found.blocks["pc.ram"].zero) == (3, 5)
    assert found.blocks["pc.ram"].bytes == 3 * 4096
    for length in (0, 10, 70, len(data) - 1):
        with pytest.raises(StreamError):
            multifd.read_channel(data[:length])


def test_cursor_names_the_place() -> None:
    cursor = Cursor(b"\x01\x02\x03", base=100, path="section 'x' 0")
    with cursor.within("field 'y'"), pytest.raises(StreamError) as caught:
        cursor.skip(1)
        cursor.u32()
    assert (caught.value.offset, caught.value.path) == (101, "section 'x' 0 / field 'y'")
    with pytest.raises(StreamError):
        cursor.skip(-1)


def test_numbers() -> None:
    cursor = Cursor(bytes(range(1, 16)))
    assert (cursor.u8(), cursor.u16(), cursor.u32(), cursor.u64()) == (
        1,
        0x203,
        0x4050607,
        0x8090A0B0C0D0E0F,
    )
    assert cursor.peek() is None


def test_names_that_are_not_utf8_survive() -> None:
    assert raw(text(b"a\xff\xfeb")) == b"a\xff\xfeb"
    with pytest.raises(StreamError, match="256 bytes"):
        counted("x" * 256)
