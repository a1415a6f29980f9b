r"""What may be around a stream in a file, and taking it off.

======================  ========================================================================
``QEVM``                nothing: the bare stream (a mapped-ram file too)
gzip, xz, zstd, bzip2,  one compressed stream, unpacked with bounded memory into a spooled
lzop                    temporary file that has no name
``LibvirtQemudSave``    ``virsh save``; see :mod:`migratable.stream.containers.libvirt`
``QFI\xfb``             qcow2 with an internal snapshot; see :mod:`.qcow2`
======================  ========================================================================

Each kind is a module with a :class:`.container.Container`; containers may be nested
(``guest.save.xz``).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from migratable import shrinking
from migratable.errors import ContainerError
from migratable.regular_file import is_regular, open_regular
from migratable.stream.containers.container import DEFAULT_LIMIT, Container, Opening
from migratable.stream.cursor import Buffer

MODULES = ("gz", "libvirt", "zst", "xz", "qcow2", "lzop", "bzip2")
"""One module a container, the frequent ones first; a module is imported when none before fits."""
MAX_DEPTH = 4
"""Containers in containers."""
_READ_WHOLE = 8 << 20
_MAGIC = b"QEVM"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A stream taken out of its file; ``data`` keeps mapping and temporary file alive.

    :ivar kind: what was around it, outermost first: ``raw``, ``xz``, ``libvirt/gzip``, ``qcow2``.
    :ivar origin: position in the file that mapped-ram offsets count from.
    :ivar facts: what the containers say: libvirt's domain XML, the snapshot's name.
    :ivar in_place: whether ``data`` is the file's own bytes from ``origin`` on.
    """

    data: memoryview
    kind: str = "raw"
    origin: int = 0
    facts: Mapping[str, object] = field(default_factory=dict)
    in_place: bool = True


def open_image(path: Path, *, snapshot: str | None = None, limit: int = DEFAULT_LIMIT) -> Image:
    """Find the stream in a file.

    :param snapshot: name or id of a qcow2 internal snapshot.
    :param limit: bytes that a compressed stream may unpack to.
    :raise ContainerError: when the file cannot be read, is of no known kind, unfinished or damaged.
    """
    return open_data(map_file(path), name=str(path), snapshot=snapshot, limit=limit)


def map_file(path: Path) -> memoryview:
    """Map a file read-only.

    :raise ContainerError: when it cannot be opened, is empty or no regular file.
    """
    try:
        if path.exists() and not is_regular(path):
            raise ContainerError(f"{path} is not a regular file; save the stream to a file first")
        with open_regular(path) as file:
            status = os.fstat(file.fileno())
            if status.st_size == 0:
                raise ContainerError(f"{path} is empty; the save wrote nothing", offset=0)
            if status.st_size <= _READ_WHOLE:  # a mapping ends us when somebody shortens the file
                return memoryview(file.read(_READ_WHOLE))
            shrinking.guard()
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ContainerError(f"cannot read {path}: {reason}") from None


def open_data(
    data: Buffer,
    *,
    name: str = "the input",
    snapshot: str | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Image:
    """Do the same for bytes that are in memory already."""
    view = memoryview(data)
    opening = Opening(name=name, limit=limit, snapshot=snapshot, size=len(view))
    kinds: list[str] = []
    facts: dict[str, object] = {}
    origin = 0
    in_place = True
    promised: str | None = None
    for _ in range(MAX_DEPTH):
        if promised is None and view[:4] == _MAGIC:
            kind = "/".join(kinds) or "raw"
            return Image(data=view, kind=kind, origin=origin, facts=facts, in_place=in_place)
        container = named(promised) if promised else recognise(view)
        if container is None:
            raise _unknown(view, name)
        contents = container.open(view, opening)
        kinds.append(container.name)
        facts.update(contents.facts)
        in_place = in_place and contents.begins is not None
        origin = contents.begins or 0
        view, promised = contents.data, contents.inside
    raise ContainerError(f"{name}: more than {MAX_DEPTH} containers in each other")


def recognise(data: memoryview) -> Container | None:
    """Find the container that *data* is in, by its first bytes; None when it is none."""
    return next((container for container in _containers() if container.is_in(data)), None)


def named(name: str) -> Container | None:
    """Find a container by the name that :attr:`Image.kind` gives it."""
    return next((container for container in _containers() if container.name == name), None)


def _containers() -> Iterator[Container]:
    for module in MODULES:
        container: Container = import_module(f"{__name__}.{module}").CONTAINER
        yield container


def _unknown(view: memoryview, name: str) -> ContainerError:
    from migratable.stream.containers import multifd  # noqa: PLC0415

    head = bytes(view[:8])
    if multifd.is_channel(view):
        hint = "it is a multifd RAM channel; the state of the devices is in the main channel"
    elif b"QEVM".startswith(head[:4]) and len(head) < 4:
        hint = "it is cut short inside the first four bytes"
    elif not any(head):
        hint = "it begins with zero bytes, so it was never written or is a raw disk"
    else:
        hint = f"it begins with {head.hex(' ')}"
    return ContainerError(
        f"{name} is not a migration stream, libvirt save image or qcow2: {hint}", offset=0
    )
