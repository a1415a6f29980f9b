"""Read bytes after a section's end, as a loader does that reads too far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from migratable.check.qemu_file import MOST_AHEAD, whole
from migratable.stream.model import Section, Stream
from migratable.stream.wire_format import VMDESCRIPTION


def following_bytes(stream: Stream, sections: Sequence[Section], number: int) -> bytes:
    """The bytes behind the footer of section *number*: the sections that follow, and the end."""
    return b"".join(_pieces(stream, sections, number))


def _pieces(stream: Stream, sections: Sequence[Section], number: int) -> Iterator[bytes]:
    size = 0
    for following in sections[number + 1 :]:
        data = whole(following)
        yield data
        size += len(data)
        if size > MOST_AHEAD:
            return
    if stream.eof:
        yield b"\x00"
    if stream.vmdesc is not None:
        yield bytes([VMDESCRIPTION]) + len(stream.vmdesc.raw).to_bytes(4, "big") + stream.vmdesc.raw
