"""bzip2."""

from __future__ import annotations

import bz2
from collections.abc import Iterator
from io import BufferedIOBase
from typing import BinaryIO

from migratable.stream.containers.container import Container, Contents, Opening
from migratable.stream.containers.decompress import members, unpack

_MAGIC = b"BZh"


def _chunks(data: memoryview) -> Iterator[bytes]:
    return members(data, kind="bzip2", magic=_MAGIC, new=bz2.BZ2Decompressor, damage=OSError)


def _open(data: memoryview, opening: Opening) -> Contents:
    return unpack(data, opening, kind="bzip2", chunks=_chunks)


def _pack(file: BinaryIO) -> BufferedIOBase:
    return bz2.BZ2File(file, "wb")


CONTAINER = Container(name="bzip2", magics=(_MAGIC,), open=_open, pack=_pack)
