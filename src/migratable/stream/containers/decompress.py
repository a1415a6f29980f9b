"""What compressed containers share: bounded memory, bounded size, nothing left over.

Up to :data:`SPOOL` bytes stay in memory, more goes into a temporary file without a name, which the
kernel removes with the last mapping of it.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Protocol

from migratable.errors import ContainerError, StreamError
from migratable.stream.containers.container import Contents, Opening

SPOOL = 16 << 20
"""Bytes that are unpacked in memory."""
MAX_RATIO = 2_000
"""Unpacked to packed size beyond which (above :data:`RATIO_FLOOR`) the input is taken for a bomb.

Guest RAM leaves its zero pages out before it is compressed, so real streams stay far below.
"""
RATIO_FLOOR = 256 << 20
CHUNK = 1 << 20
_FIRST_CHUNK = 1 << 12
_FEW_MEMBERS, _SHORT_MEMBER = 1000, 256
"""A file of more members than that, which are shorter on average, is taken for a bomb."""


class Decompressor(Protocol):
    """What zlib's, bz2's and lzma's objects have in common (zlib's: made so by ``gz``)."""

    @property
    def eof(self) -> bool: ...  # noqa: D102
    @property
    def unused_data(self) -> bytes: ...  # noqa: D102
    @property
    def needs_input(self) -> bool: ...  # noqa: D102
    def decompress(self, data: bytes, max_length: int) -> bytes: ...  # noqa: D102


def unpack(
    data: memoryview,
    opening: Opening,
    *,
    kind: str,
    chunks: Callable[[memoryview], Iterator[bytes]],
) -> Contents:
    """Unpack all of *data*.

    :param kind: the container's name, for messages.
    :param chunks: unpacks piece by piece; raises EOFError when the data ends early.
    :raise ContainerError: when it is damaged, cut short, larger than the limit, or a bomb.
    """
    spool = bytearray()
    file = None
    total = 0
    name = opening.name
    try:
        for chunk in chunks(data):
            total += len(chunk)
            _check(total, min(len(data), opening.size or len(data)), opening, kind)
            if file is not None:
                file.write(chunk)
                continue
            spool += chunk
            if len(spool) > SPOOL:
                import tempfile  # noqa: PLC0415 -- it imports much

                file = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as its mapping
                file.write(spool)
                spool = bytearray()
        if file is None:
            return Contents(data=memoryview(bytes(spool)))
        file.flush()
        return Contents(data=memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    except StreamError as error:
        if isinstance(error, ContainerError):
            raise
        raise ContainerError(f"{name}: {kind} data is damaged: {error}") from None
    except EOFError:
        raise ContainerError(
            f"{name}: {kind} data ends early; the file is cut short or still being written",
            offset=len(data),
        ) from None
    except OSError as error:  # bz2 reports damage so, too
        raise ContainerError(f"{name}: cannot unpack {kind} data: {error}") from None
    finally:
        if file is not None:
            file.close()


def _check(total: int, packed: int, opening: Opening, kind: str) -> None:
    if total > opening.limit:
        raise ContainerError(
            f"{opening.name}: {kind} data unpacks to more than {opening.limit} bytes; unpack it "
            "yourself or raise the limit"
        )
    if total > RATIO_FLOOR and total > MAX_RATIO * packed:
        raise ContainerError(
            f"{opening.name}: {kind} data unpacks to more than {MAX_RATIO} times its size, which "
            "no saved guest does; unpack it yourself if you trust it"
        )


def members(
    data: memoryview,
    *,
    kind: str,
    magic: bytes,
    new: Callable[[], Decompressor],
    damage: type[Exception],
) -> Iterator[bytes]:
    """One compressed stream or several in a row, as the formats allow.

    :param damage: what the decompressor raises when the data is damaged.
    :raise EOFError: when the data ends early.
    """
    decompressor = new()
    pos = count = 0
    size = _FIRST_CHUNK
    try:
        while True:
            piece = b""
            if decompressor.needs_input:
                # A member may be short: return the bytes after it, and copy them again.
                piece = bytes(data[pos : pos + size])
                size = min(size * 4, CHUNK)
                pos += len(piece)
                if not piece:
                    raise EOFError
            out = decompressor.decompress(piece, CHUNK)
            if out:
                yield out
            if decompressor.eof:
                pos -= len(decompressor.unused_data)
                while pos < len(data) and data[pos] == 0:  # padding between and after streams
                    pos += 1
                if pos >= len(data):
                    return
                if data[pos : pos + len(magic)] != magic:
                    raise ContainerError(
                        f"{len(data) - pos} bytes follow the {kind} data", offset=pos
                    )
                decompressor = new()
                size = _FIRST_CHUNK
                count += 1
                if count > _FEW_MEMBERS and pos < count * _SHORT_MEMBER:
                    raise ContainerError(
                        f"{count} {kind} members of {pos // count} bytes: no saved guest"
                    )
    except damage as error:
        raise ContainerError(f"{kind} data is damaged: {error}", offset=pos) from None


def program(data: memoryview, name: str, *options: str) -> Iterator[bytes]:
    """Unpack through a program, fed from an unnamed file so that nothing can block."""
    import shutil  # noqa: PLC0415
    import subprocess  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    if shutil.which(name) is None:
        raise ContainerError(
            f"{name} data needs the Python package zstandard (pip install migratable[zstd]) or "
            f"the program {name}"
        )
    with tempfile.TemporaryFile() as source:
        source.write(data)
        source.seek(0)
        with subprocess.Popen(
            [name, *options],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            try:
                while chunk := process.stdout.read(CHUNK):
                    yield chunk
            except GeneratorExit:
                process.kill()
                raise
            message = process.stderr.read().decode(errors="replace").strip()
            if process.wait():
                raise ContainerError(f"{name} could not unpack the data: {message}")
