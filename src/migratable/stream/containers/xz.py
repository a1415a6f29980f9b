"""xz."""

from __future__ import annotations

import lzma
from collections.abc import Iterator
from io import BufferedIOBase
from typing import BinaryIO

from migratable.stream.containers.container import Container, Contents, Opening
from migratable.stream.containers.decompress import Decompressor, members, unpack

_MAGIC = b"\xfd7zXZ\0"
_MEMORY = 192 << 20
"""Bytes that xz may ask for; ``xz -9`` needs 65 MiB."""


def _new() -> Decompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY)


def _chunks(data: memoryview) -> Iterator[bytes]:
    return members(data, kind="xz", magic=_MAGIC, new=_new, damage=lzma.LZMAError)


def _open(data: memoryview, opening: Opening) -> Contents:
    return unpack(data, opening, kind="xz", chunks=_chunks)


def _pack(file: BinaryIO) -> BufferedIOBase:
    return lzma.LZMAFile(file, "wb")


CONTAINER = Container(name="xz", magics=(_MAGIC,), open=_open, pack=_pack)
