"""gzip."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from typing import BinaryIO

from migratable.stream.containers.container import Container, Contents, Opening
from migratable.stream.containers.decompress import members, unpack

_MAGIC = b"\x1f\x8b"


class _Decompressor:
    """zlib's object with the interface of bz2's and lzma's."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _chunks(data: memoryview) -> Iterator[bytes]:
    return members(data, kind="gzip", magic=_MAGIC, new=_Decompressor, damage=zlib.error)


def _open(data: memoryview, opening: Opening) -> Contents:
    return unpack(data, opening, kind="gzip", chunks=_chunks)


def _pack(file: BinaryIO) -> BufferedIOBase:
    return gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="")


CONTAINER = Container(name="gzip", magics=(_MAGIC,), open=_open, pack=_pack)
