"""Compressed streams: gzip, bzip2, xz, zstd, lzop; bounded memory, bounded size, nothing left over.

Up to :data:`SPOOL` bytes stay in memory, more goes into a temporary file without a name, which the
kernel removes with the last mapping of it.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

from migratable.errors import ContainerError, StreamError

SPOOL = 16 << 20
"""Bytes that are unpacked in memory."""
DEFAULT_LIMIT = 64 << 30
"""Bytes that a compressed stream may unpack to, unless the caller says otherwise."""
MAX_RATIO = 2_000
"""Unpacked to packed size beyond which (above :data:`RATIO_FLOOR`) the input is taken for a bomb.

Guest RAM leaves its zero pages out before it is compressed, so real streams stay far below.
"""
RATIO_FLOOR = 256 << 20
_CHUNK = 1 << 20
_FIRST_CHUNK = 1 << 12
_FEW_MEMBERS, _SHORT_MEMBER = 1000, 256
"""A file of more members than that, which are shorter on average, is taken for a bomb."""
_MEMORY = 192 << 20
"""Memory that xz may ask for; ``xz -9`` needs 65 MiB."""

_MAGICS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x89LZO\x00\r\n\x1a\n": "lzop",
}


class _Decompressor(Protocol):
    """What zlib's, bz2's and lzma's objects have in common, made so by :class:`_Gzip`."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gzip:
    """zlib's object with the interface of the other two."""

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


def recognise(data: memoryview) -> str | None:
    """Name the compression by its first bytes, None when it is none."""
    head = bytes(data[:9])
    return next((name for magic, name in _MAGICS.items() if head.startswith(magic)), None)


def unpack(
    data: memoryview, kind: str, *, name: str = "the input", limit: int = DEFAULT_LIMIT
) -> memoryview:
    """Unpack all of *data*.

    :param kind: ``gzip``, ``bzip2``, ``xz``, ``zstd`` or ``lzop``.
    :raise ContainerError: when it is damaged, cut short, larger than *limit*, or a bomb.
    """
    spool = bytearray()
    file = None
    total = 0
    try:
        for chunk in _chunks(data, kind):
            total += len(chunk)
            _check(total, len(data), limit, kind, name)
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
            return memoryview(bytes(spool))
        file.flush()
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
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


def _check(total: int, packed: int, limit: int, kind: str, name: str) -> None:
    if total > limit:
        raise ContainerError(
            f"{name}: {kind} data unpacks to more than {limit} bytes; unpack it yourself or raise "
            "the limit"
        )
    if total > RATIO_FLOOR and total > MAX_RATIO * packed:
        raise ContainerError(
            f"{name}: {kind} data unpacks to more than {MAX_RATIO} times its size, which no saved "
            "guest does; unpack it yourself if you trust it"
        )


def _chunks(data: memoryview, kind: str) -> Iterator[bytes]:
    if kind == "zstd":
        return _zstd(data)
    if kind == "lzop":
        return _lzop(data)
    return _members(data, kind)


def _new(kind: str) -> _Decompressor:
    if kind == "gzip":
        return _Gzip()
    if kind == "bzip2":
        import bz2  # noqa: PLC0415 -- each of these is wanted by few files

        return bz2.BZ2Decompressor()
    import lzma  # noqa: PLC0415

    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY)


def _members(data: memoryview, kind: str) -> Iterator[bytes]:
    """One compressed stream or several in a row, as the formats allow."""
    import lzma  # noqa: PLC0415

    decompressor = _new(kind)
    pos = members = 0
    size = _FIRST_CHUNK
    try:
        while True:
            piece = b""
            if decompressor.needs_input:
                # A member may be short: what is behind it is taken back and copied again.
                piece = bytes(data[pos : pos + size])
                size = min(size * 4, _CHUNK)
                pos += len(piece)
                if not piece:
                    raise EOFError
            out = decompressor.decompress(piece, _CHUNK)
            if out:
                yield out
            if decompressor.eof:
                pos -= len(decompressor.unused_data)
                while pos < len(data) and data[pos] == 0:  # padding between and after streams
                    pos += 1
                if pos >= len(data):
                    return
                if recognise(data[pos:]) != kind:
                    raise ContainerError(
                        f"{len(data) - pos} bytes follow the {kind} data", offset=pos
                    )
                decompressor = _new(kind)
                size = _FIRST_CHUNK
                members += 1
                if members > _FEW_MEMBERS and pos < members * _SHORT_MEMBER:
                    raise ContainerError(
                        f"{members} {kind} members of {pos // members} bytes: no saved guest"
                    )
    except (zlib.error, lzma.LZMAError) as error:
        raise ContainerError(f"{kind} data is damaged: {error}", offset=pos) from None


def _zstd(data: memoryview) -> Iterator[bytes]:
    try:
        import zstandard  # noqa: PLC0415 -- optional
    except ImportError:
        return _program(data, "zstd", "-dcq", "--memory=128MB")
    return _zstd_frames(data, zstandard)


def _zstd_frames(data: memoryview, zstandard: Any) -> Iterator[bytes]:
    """Unpack with the reader, whose memory is bounded, but which does not miss a missing end."""
    end = len(data)
    while end and data[end - 1] == 0:  # padding, or zeros of the last block
        end -= 1
    at = 0
    while at < end:
        at = _zstd_frame_end(data, at)
    decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
    reader = decompressor.stream_reader(data[:at], read_across_frames=True)
    try:
        while chunk := reader.read(_CHUNK):
            yield chunk
    except zstandard.ZstdError as error:
        raise ContainerError(f"zstd data is damaged: {error}") from None


def _zstd_frame_end(data: memoryview, at: int) -> int:
    """Walk over one frame's blocks (RFC 8878, 3.1).

    :raise EOFError: when the frame goes on past the data.
    """

    def number(pos: int, size: int) -> int:
        if pos + size > len(data):
            raise EOFError
        return int.from_bytes(data[pos : pos + size], "little")

    magic = number(at, 4)
    if magic & 0xFFFFFFF0 == 0x184D2A50:  # a skippable frame
        end = at + 8 + number(at + 4, 4)
        if end > len(data):
            raise EOFError
        return end
    if magic != 0xFD2FB528:
        raise ContainerError(f"{len(data) - at} bytes follow the zstd data", offset=at)
    descriptor = number(at + 4, 1)
    single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    content = (single, 2, 4, 8)[descriptor >> 6]
    at += 5 + (not single) + (0, 1, 2, 4)[descriptor & 3] + content
    last = 0
    while not last:
        header = number(at, 3)
        last = header & 1
        at += 3 + (1 if header >> 1 & 3 == 1 else header >> 3)
    at += 4 * checksum
    if at > len(data):
        raise EOFError
    return at


def _lzop(data: memoryview) -> Iterator[bytes]:
    import shutil  # noqa: PLC0415

    if shutil.which("lzop") is not None:
        return _program(data, "lzop", "-dc")
    from migratable.stream.containers import lzo  # noqa: PLC0415

    return lzo.blocks(data)


def _program(data: memoryview, program: str, *options: str) -> Iterator[bytes]:
    """Unpack through a program, fed from an unnamed file so that nothing can block."""
    import shutil  # noqa: PLC0415
    import subprocess  # noqa: PLC0415
    import tempfile  # noqa: PLC0415

    if shutil.which(program) is None:
        raise ContainerError(
            f"{program} data needs the Python package zstandard (pip install migratable[zstd]) or "
            f"the program {program}"
        )
    with tempfile.TemporaryFile() as source:
        source.write(data)
        source.seek(0)
        with subprocess.Popen(
            [program, *options],
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None and process.stderr is not None
            try:
                while chunk := process.stdout.read(_CHUNK):
                    yield chunk
            except GeneratorExit:
                process.kill()
                raise
            message = process.stderr.read().decode(errors="replace").strip()
            if process.wait():
                raise ContainerError(f"{program} could not unpack the data: {message}")
