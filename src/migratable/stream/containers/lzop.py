"""lzop: by the program where it is installed, else by :mod:`.lzo`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from migratable.stream.containers.container import Container, Contents, Opening
from migratable.stream.containers.decompress import program, unpack


def _chunks(data: memoryview) -> Iterator[bytes]:
    if shutil.which("lzop") is not None:
        return program(data, "lzop", "-dc")
    from migratable.stream.containers import lzo  # noqa: PLC0415 -- few hosts need it

    return lzo.blocks(data)


def _open(data: memoryview, opening: Opening) -> Contents:
    return unpack(data, opening, kind="lzop", chunks=_chunks)


CONTAINER = Container(
    name="lzop",
    magics=(b"\x89LZO\x00\r\n\x1a\n",),
    open=_open,
    remedy="unpack it first: lzop -d FILE",
)
