"""Compressed streams: gzip, bzip2, xz, zstd, lzop; bounded memory, bounded size, nothing left over.

Up to :data:`SPOOL` bytes stay in memory, more goes into a temporary file without a name, which the
kernel removes with the last mapping of it.
"""

from __future__ import annotations

import mmap
import zlib
from collections.abc import Iterator
from typing import Protocol

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


class _Zstd:
    """zstandard's object with the interface of the other two.

    It takes no bound for its output, and 4 bytes of input can give 128 KiB: so it is fed little.
    """

    _STEP = 1 << 10

    def __init__(self) -> None:
        import zstandard  # noqa: PLC0415 -- optional

        self._inner = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        self._error = zstandard.ZstdError
        self._waiting = b""

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data) + self._waiting

    @property
    def needs_input(self) -> bool:
        return not self._waiting

    def decompress(self, data: bytes, max_length: int) -> bytes:
        self._waiting += data
        out = bytearray()
        try:
            at = 0
            while at < len(self._waiting) and len(out) < max_length and not self._inner.eof:
                out += self._inner.decompress(self._waiting[at : at + self._STEP])
                at += self._STEP
        except self._error as error:
            raise ContainerError(f"zstd data is damaged: {error}") from None
        self._waiting = self._waiting[at:]
        return bytes(out)


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
    if kind == "zstd":
        return _Zstd()
    if kind == "bzip2":
        import bz2  # noqa: PLC0415 -- each of these is wanted by few files

        return bz2.BZ2Decompressor()
    import lzma  # noqa: PLC0415

    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY)


def _members(data: memoryview, kind: str) -> Iterator[bytes]:
    """One compressed stream or several in a row, as the formats allow."""
    import lzma  # noqa: PLC0415

    decompressor = _new(kind)
    pos = 0
    try:
        while True:
            piece = b""
            if decompressor.needs_input:
                piece = bytes(data[pos : pos + _CHUNK])
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
    except (zlib.error, lzma.LZMAError) as error:
        raise ContainerError(f"{kind} data is damaged: {error}", offset=pos) from None


def _zstd(data: memoryview) -> Iterator[bytes]:
    try:
        import zstandard  # noqa: F401, PLC0415 -- optional
    except ImportError:
        return _program(data, "zstd", "-dcq", "--memory=128MB")
    return _members(data, "zstd")


def _lzop(data: memoryview) -> Iterator[bytes]:
    import shutil  # noqa: PLC0415

    if shutil.which("lzop") is not None:
        return _program(data, "lzop", "-dc")
    from migratable.stream import lzo  # noqa: PLC0415

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
