"""The form of a container's module: how it is recognised, opened and written again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BufferedIOBase
from typing import BinaryIO

DEFAULT_LIMIT = 64 << 30
"""Bytes that a compressed stream may unpack to, unless the caller says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What the caller of :func:`migratable.stream.containers.open_data` asks for.

    :ivar name: the file, for messages.
    :ivar limit: bytes that compressed data may unpack to.
    :ivar snapshot: name or id of a qcow2 internal snapshot.
    :ivar size: of the whole file, by which a container in a container is measured too; 0 when it is
        the only one.
    """

    name: str = "the input"
    limit: int = DEFAULT_LIMIT
    snapshot: str | None = None
    size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a container holds: a stream, or the next container.

    :ivar begins: position in the container from which ``data`` is its own bytes, None when they
        were made (unpacked, put together).
    :ivar inside: name of the container that the header promises inside, when it says so.
    :ivar facts: what the header says: libvirt's domain XML, the snapshot's name.
    """

    data: memoryview
    begins: int | None = None
    inside: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One kind of container; its module has it as ``CONTAINER``.

    :ivar magics: first bytes, any of them.
    :ivar open: takes out what is inside; raises ContainerError when it is damaged.
    :ivar pack: makes a file that packs what is written to it; None where ``convert`` cannot.
    :ivar remedy: what the user does instead.
    """

    name: str
    magics: tuple[bytes, ...]
    open: Callable[[memoryview, Opening], Contents]
    pack: Callable[[BinaryIO], BufferedIOBase] | None = None
    remedy: str = "unpack it first"

    def is_in(self, data: memoryview) -> bool:
        """Whether *data* begins as this container does."""
        return any(data[: len(magic)] == magic for magic in self.magics)
