"""zstd: by the Python package where it is installed, else by the program."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from migratable.errors import ContainerError
from migratable.stream.containers.container import Container, Contents, Opening
from migratable.stream.containers.decompress import CHUNK, program, unpack


def _open(data: memoryview, opening: Opening) -> Contents:
    return unpack(data, opening, kind="zstd", chunks=_zstd)


def _zstd(data: memoryview) -> Iterator[bytes]:
    try:
        import zstandard  # noqa: PLC0415 -- optional
    except ImportError:
        return program(data, "zstd", "-dcq", "--memory=128MB")
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
        while chunk := reader.read(CHUNK):
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


CONTAINER = Container(
    name="zstd",
    magics=(b"\x28\xb5\x2f\xfd",),
    open=_open,
    remedy="unpack it first: zstd -d FILE",
)
