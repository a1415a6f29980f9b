"""lzop files and LZO1X, for hosts without the program ``lzop`` (libvirt's ``lzop`` images).

The file format is that of lzop 1.04 (``src/lzop.c``, ``f_lzo.c``); the compressed data is LZO1X as
the kernel's ``Documentation/staging/lzo.rst`` describes it.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

from migratable.errors import ContainerError
from migratable.stream.cursor import Buffer, Cursor

MAX_BLOCK = 64 << 20
"""lzop's own limit for a block (it writes 256 KiB ones)."""
_ZEROS = re.compile(rb"\0*")
_ADLER_D, _ADLER_C = 0x1, 0x2
_EXTRA, _CRC_D, _CRC_C, _FILTER = 0x40, 0x100, 0x200, 0x800


def blocks(data: Buffer) -> Iterator[bytes]:
    """Unpacked blocks of an lzop file.

    :raise ContainerError: when header, a block or a checksum is wrong.
    """
    cursor = Cursor(data, path="lzop data")
    flags = _header(cursor)
    while size := cursor.u32():
        packed = cursor.u32()
        if size > MAX_BLOCK or packed > size:
            raise ContainerError(
                f"lzop block of {packed} bytes for {size}", offset=cursor.offset - 8
            )
        adler = cursor.u32() if flags & _ADLER_D else None
        crc = cursor.u32() if flags & _CRC_D else None
        if packed < size:
            cursor.skip(4 * (bool(flags & _ADLER_C) + bool(flags & _CRC_C)))
        offset = cursor.offset
        body = cursor.bytes(packed)
        block = body if packed == size else decompress(body, size, offset=offset)
        if (adler is not None and zlib.adler32(block) != adler) or (
            crc is not None and zlib.crc32(block) != crc
        ):
            raise ContainerError("checksum of an lzop block is wrong", offset=offset)
        yield block


def _header(cursor: Cursor) -> int:
    cursor.skip(9)
    version = cursor.u16()
    cursor.skip(2)
    if version >= 0x0940:
        cursor.skip(2)
    method = cursor.u8()
    if method not in (1, 2, 3):
        raise ContainerError(f"lzop method {method} is not LZO1X", offset=cursor.offset - 1)
    if version >= 0x0940:
        cursor.skip(1)
    flags = cursor.u32()
    if flags & _FILTER:
        raise ContainerError("lzop data with a filter", offset=cursor.offset - 4)
    cursor.skip(8)
    if version >= 0x0940:
        cursor.skip(4)
    cursor.counted()
    cursor.skip(4)
    if flags & _EXTRA:
        cursor.skip(cursor.u32() + 4)
    return flags


def decompress(data: bytes, size: int, *, offset: int = 0) -> bytes:
    """Unpack one LZO1X block of known size.

    :raise ContainerError: when it is damaged.
    """
    try:
        out = _decompress(data, size)
    except IndexError:
        raise ContainerError("LZO data ends early or points outside", offset=offset) from None
    if len(out) != size:
        raise ContainerError(f"LZO data gives {len(out)} bytes, not {size}", offset=offset)
    return bytes(out)


def _decompress(data: bytes, size: int) -> bytearray:
    out = bytearray()
    pos = 0
    state = 0
    first = data[0]
    if first > 17:
        count = first - 17
        out += _literals(data, 1, count)
        pos = 1 + count
        state = min(count, 4)
    while True:
        code = data[pos]
        pos += 1
        if code < 16 and state == 0:  # a run of literals
            count = code + 3
            if code == 0:
                extra, pos = _extended(data, pos)
                count = 18 + extra
            out += _literals(data, pos, count)
            pos += count
            state = 4
            continue
        if code < 16:
            length, distance = (2, 1) if state < 4 else (3, 2049)
            distance += (data[pos] << 2) + (code >> 2)
            pos += 1
            state = code & 3
        elif code < 64:
            bits = 7 if code < 32 else 31
            length = 2 + (code & bits)
            if not code & bits:
                extra, pos = _extended(data, pos)
                length = 2 + bits + extra
                if length > size - len(out):  # before it is made
                    raise IndexError
            word = data[pos] | data[pos + 1] << 8
            pos += 2
            distance = (word >> 2) + (1 if code >= 32 else 16384 + ((code & 8) << 11))
            if distance == 16384 and code < 32:
                return out
            state = word & 3
        else:
            length = 3 + (code >> 5 & 1) if code < 128 else 5 + (code >> 5 & 3)
            distance = (data[pos] << 3) + (code >> 2 & 7) + 1
            pos += 1
            state = code & 3
        _copy(out, distance, length)
        if len(out) > size:
            raise IndexError
        if state:
            out += _literals(data, pos, state)
            pos += state


def _literals(data: bytes, pos: int, count: int) -> bytes:
    if pos + count > len(data):
        raise IndexError
    return data[pos : pos + count]


def _extended(data: bytes, pos: int) -> tuple[int, int]:
    """Read a length of zero bytes, 255 each, and the byte that ends them."""
    zeros = _ZEROS.match(data, pos)
    end = zeros.end() if zeros else pos
    return 255 * (end - pos) + data[end], end + 1


def _copy(out: bytearray, distance: int, length: int) -> None:
    start = len(out) - distance
    if start < 0:
        raise IndexError
    if distance >= length:
        out += out[start : start + length]
    else:
        pattern = bytes(out[start:])
        out += (pattern * (length // distance + 1))[:length]
