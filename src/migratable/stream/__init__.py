"""Bytes of a migration stream to typed parts and back.

``read`` takes bytes, a mapped file or a path, in any container; ``write`` returns the same bytes
again. The parts are in :mod:`migratable.stream.model`, the grammar in
:mod:`migratable.stream.wire_format`, field values by name in :mod:`migratable.stream.fields`, and
edited copies in :mod:`migratable.stream.edit`. Every malformed input raises a
:class:`~migratable.errors.StreamError` with offset and place.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator
from pathlib import Path

from migratable.errors import StreamError
from migratable.stream.cursor import Buffer, Cursor
from migratable.stream.model import (
    Command,
    Configuration,
    ConfigurationSubsection,
    Element,
    Section,
    Span,
    Stream,
)
from migratable.stream.ram import BlockCount, MappedRam, RamBlock, RamStart, RamStatistics
from migratable.stream.ram_walker import Window
from migratable.stream.reader import read_bytes
from migratable.stream.vmdesc import VmDescription, VmDevice, VmField, VmsdBody
from migratable.stream.wire_format import CommandKind, RamFlag, SectionKind
from migratable.stream.writer import write, write_to

__all__ = [
    "BlockCount",
    "Buffer",
    "Command",
    "CommandKind",
    "Configuration",
    "ConfigurationSubsection",
    "Cursor",
    "Element",
    "MappedRam",
    "RamBlock",
    "RamFlag",
    "RamStart",
    "RamStatistics",
    "Section",
    "SectionKind",
    "Span",
    "Stream",
    "StreamError",
    "VmDescription",
    "VmDevice",
    "VmField",
    "VmsdBody",
    "open_stream",
    "read",
    "write",
    "write_to",
]


def read(
    source: bytes | memoryview | mmap.mmap | Path | str,
    *,
    ram: bool = False,
    page_size: int | None = None,
    snapshot: str | None = None,
    limit: int | None = None,
) -> Stream:
    """Read a stream: bytes are a bare stream, a path may be in a container.

    :param ram: walk all RAM records, for :attr:`Stream.ram_statistics`.
    :param snapshot: name or id of a qcow2 internal snapshot (default: the only one with VM state).
    :param limit: bytes that a compressed file may unpack to (default 64 GiB).
    :raise StreamError: when the stream (ContainerError: what is around it) is malformed.
    """
    if isinstance(source, (str, Path)):
        from migratable.stream import containers  # noqa: PLC0415 -- often unused
        from migratable.stream.containers.container import DEFAULT_LIMIT  # noqa: PLC0415

        path = Path(source)
        image = containers.open_image(path, snapshot=snapshot, limit=limit or DEFAULT_LIMIT)
        with contextlib.ExitStack() as stack:
            window = None
            if ram and image.in_place:
                file = stack.enter_context(path.open("rb", buffering=0))
                window = Window(file.fileno(), image.origin)
            return read_bytes(
                image.data,
                ram=ram,
                page_size=page_size,
                container=image.kind,
                origin=image.origin,
                facts=image.facts,
                window=window,
            )
    return read_bytes(memoryview(source), ram=ram, page_size=page_size)


@contextlib.contextmanager
def open_stream(
    path: Path | str,
    *,
    ram: bool = False,
    page_size: int | None = None,
    snapshot: str | None = None,
    limit: int | None = None,
) -> Iterator[Stream]:
    """:func:`read` a file for the time of a ``with`` block.

    Mapped and temporary files go when the last view into them does; nothing stays behind.
    """
    yield read(Path(path), ram=ram, page_size=page_size, snapshot=snapshot, limit=limit)
