"""Write a converted stream into its container: RAM is copied by the kernel, not read.

======================  ========================================================================
raw                     the stream alone; ``mapped-ram`` files too, with their holes
libvirt save image      header, XML and cookie as they are; the stream begins at the same place
gzip, xz, bzip2         packed again, also inside a save image
everything else         refused: unpack it first (qcow2, zstd, lzop, nested containers)
======================  ========================================================================

The file has no name before it is complete and proven (``O_TMPFILE``; where the file system has no
such files, one that begins with a dot), so that nothing is left behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from migratable.errors import ConvertError
from migratable.regular_file import open_regular
from migratable.stream import containers
from migratable.stream.containers.libvirt import HEADER_SIZE
from migratable.stream.cursor import Buffer
from migratable.stream.model import Element, Section, Span, Stream
from migratable.stream.ram import MappedRam, RamBlock
from migratable.stream.wire_format import SectionKind, footer
from migratable.stream.writer import chunks, element_chunks, section_header

_LARGE = 1 << 20
"""Bytes from which a part is copied by the kernel."""
_STEP = 1 << 30


class Output:
    """A file that gets its name when all is well."""

    def __init__(self, path: Path, file: BinaryIO, partial: Path | None) -> None:
        """Keep the open file; *partial* is its name when it has one."""
        self._path = path
        self._partial = partial
        self.file = file

    @property
    def readable(self) -> Path:
        """A path by which this process can read what is written so far."""
        self.file.flush()
        return self._partial or Path(f"/proc/self/fd/{self.file.fileno()}")

    def keep(self, *, force: bool) -> None:
        """Give it the name that the user wants.

        :raise ConvertError: when there is such a file by now and *force* is not given.
        """
        self.file.flush()
        os.fsync(self.file.fileno())
        try:
            source = self._partial
            if source is None and not force:
                _link(self.file.fileno(), self._path)
                return
            if source is None:
                source = _partial_name(self._path)
                _link(self.file.fileno(), source)
                self._partial = source
            if force:
                source.replace(self._path)
            else:
                os.link(source, self._path)
                source.unlink()
            self._partial = None
        except FileExistsError:
            raise _there(self._path) from None
        except OSError as error:
            raise ConvertError(f"{self._path} cannot be written: {error.strerror}") from None

    def discard(self) -> None:
        """Leave nothing behind."""
        self.file.close()
        if self._partial is not None:
            with contextlib.suppress(FileNotFoundError):
                self._partial.unlink()


@contextmanager
def output(path: Path, *, source: Path | None, force: bool) -> Iterator[Output]:
    """Open a file that is to be called *path*; it vanishes unless it is kept.

    :param source: the file that is read, which is never written over.
    :raise ConvertError: when it cannot be made, is there already, or is the source.
    """
    if source is not None and path.exists() and path.samefile(source):
        raise ConvertError(f"{path} is the source itself; name another file for the result")
    if path.exists() and not force:
        raise _there(path)
    if path.exists() and not path.is_file():
        raise ConvertError(f"{path} is not a regular file")
    partial: Path | None = None
    try:
        try:
            flags = os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
            descriptor = os.open(path.parent, flags, 0o600)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT):
                raise
            partial = _partial_name(path)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(partial, flags, 0o600)
    except OSError as error:
        raise ConvertError(f"{path} cannot be written: {error.strerror}") from None
    out = Output(path, os.fdopen(descriptor, "w+b"), partial)
    try:
        yield out
    finally:
        out.discard()


def _there(path: Path) -> ConvertError:
    return ConvertError(f"{path} exists; name another file, or add --force")


def _partial_name(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")


def _link(descriptor: int, path: Path) -> None:
    """Name a nameless file; never replaces one."""
    folder = os.open("/proc/self/fd", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.link(str(descriptor), path, src_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def can_write(container: str, name: str) -> None:
    """See that the container can be written.

    :raise ConvertError: when it cannot, with the remedy.
    """
    if container in ("raw", "libvirt"):
        return
    outer, _, inner = container.partition("/")
    packing = containers.named(inner if outer == "libvirt" else container)
    if packing is not None and packing.pack is not None:
        return
    around = containers.named(outer)
    remedy = around.remedy if around is not None else "unpack it first"
    raise ConvertError(f"{name}: a stream in {container} cannot be written again; {remedy}")


def write(stream: Stream, original: Stream, path: Path, out: Output) -> None:
    """Write *stream*, an edited *original*, as *path* has that.

    :raise ConvertError: when the container cannot be written (:func:`can_write`), or offsets in a
        mapped-ram file cannot follow.
    :raise OSError: when reading or writing fails.
    """
    can_write(original.container, str(path))
    with open_regular(path) as source:
        outer, _, inner = original.container.partition("/")
        origin = 0
        if outer == "libvirt":
            origin = _libvirt_origin(source)
            _copy(source, out.file, 0, origin)
        packing = containers.named(inner or outer)
        if packing is not None and packing.pack is not None:
            with packing.pack(out.file) as packed:
                for chunk in chunks(stream):
                    packed.write(chunk)
            return
        _write_plain(stream, original, source, out.file, origin)
    out.file.flush()


def copy(path: Path, out: Output) -> None:
    """Copy a whole file, holes and all."""
    with open_regular(path) as source:
        _copy(source, out.file, 0, os.fstat(source.fileno()).st_size)
    out.file.flush()


def _libvirt_origin(source: BinaryIO) -> int:
    head = source.read(HEADER_SIZE)
    order = "little" if int.from_bytes(head[16:20], "little") < 1 << 16 else "big"
    return HEADER_SIZE + int.from_bytes(head[20:24], order)  # type: ignore[arg-type]


def _write_plain(
    stream: Stream, original: Stream, source: BinaryIO, out: BinaryIO, origin: int
) -> None:
    head = replace(stream, elements=(), eof=False, vmdesc=None, trailer=b"")
    moved = 0
    for chunk in chunks(head):
        moved += out.write(chunk)
    first = original.elements[0] if original.elements else None
    moved -= (getattr(first, "offset", None) or moved) if first is not None else 0
    for element in stream.elements:
        mapped = _mapped(element, stream)
        if mapped is not None:
            _write_mapped(mapped, stream.ram_blocks, source, out, origin, moved)
        elif (where := _copied(element)) is not None:
            start, length = where
            if isinstance(element, Section):
                out.write(section_header(element))
            _copy(source, out, origin + start, length)
            if isinstance(element, Section) and element.footer:
                out.write(footer(element.section_id))
        else:
            for chunk in element_chunks(element):
                out.write(chunk)
    tail = replace(stream, configuration=None, elements=())
    for number, chunk in enumerate(chunks(tail)):
        if number:  # not the header
            out.write(chunk)


def _copied(element: Element) -> tuple[int, int] | None:
    """Offset and length of large bytes that are as they were."""
    data: Buffer
    if isinstance(element, Span):
        data, offset = element.data, element.offset
    elif isinstance(element, Section):
        data, offset = element.body, element.body_offset
    else:
        return None
    if offset is None or len(data) < _LARGE or isinstance(data, bytes):
        return None
    return offset, len(data)


def _mapped(element: Element, stream: Stream) -> Section | None:
    """Give the START section of a mapped-ram file, which has all pages inside."""
    if (
        isinstance(element, Section)
        and element.idstr == "ram"
        and element.kind is SectionKind.START
        and any(block.mapped for block in stream.ram_blocks)
    ):
        return element
    return None


def _write_mapped(  # noqa: PLR0917 -- source, result, and how far it moved
    section: Section,
    blocks: tuple[RamBlock, ...],
    source: BinaryIO,
    out: BinaryIO,
    origin: int,
    moved: int,
) -> None:
    """Keep all pages at their offsets: what is before the first of them moves into the gap."""
    assert section.body_offset is not None
    out.write(section_header(section))
    start, end = section.body_offset, section.body_offset + len(section.body)
    if not moved:
        _copy(source, out, origin + start, end - start)
    else:
        first = next(block for block in blocks if block.mapped is not None)
        header = first.mapped
        assert header is not None
        bitmap = -(-(first.used_length // header.page_size) // 64) * 8
        gap = header.pages_offset - header.bitmap_offset - bitmap
        if gap < moved or header.bitmap_offset + moved < start:
            raise ConvertError(
                f"the stream grows by {moved} bytes before guest memory, and the mapped-ram file "
                f"has room for {gap}; save the guest without mapped-ram"
            )
        place = _place_of_bitmap(section, header, origin)
        head = bytearray(section.body[: header.bitmap_offset - start])
        head[place : place + 8] = (header.bitmap_offset + moved + origin).to_bytes(8, "big")
        out.write(head)
        at = header.bitmap_offset - start
        out.write(section.body[at : at + bitmap])
        out.seek(gap - moved, os.SEEK_CUR)  # stays a hole
        _copy(source, out, origin + header.pages_offset, end - header.pages_offset)
    if section.footer:
        out.write(footer(section.section_id))


def _place_of_bitmap(section: Section, header: MappedRam, origin: int) -> int:
    """Offset in the body of the first block's ``bitmap_offset``."""
    wanted = (header.bitmap_offset + origin).to_bytes(8, "big")
    head = bytes(section.body[:512])
    place = head.find(header.page_size.to_bytes(8, "big") + wanted)
    if place < 0:
        raise ConvertError("the mapped-ram header of the first block is not where it should be")
    return place + 8


def _copy(source: BinaryIO, out: BinaryIO, start: int, length: int) -> None:
    """Copy *length* bytes; holes stay holes."""
    out.flush()
    reading, writing = source.fileno(), out.fileno()
    at = os.lseek(writing, 0, os.SEEK_CUR)
    end = start + length
    pos = start
    while pos < end:
        try:
            data = os.lseek(reading, pos, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            data = end  # a hole up to the end
        data = min(max(data, pos), end)
        at, pos = at + data - pos, data
        if pos >= end:
            break
        hole = min(max(os.lseek(reading, pos, os.SEEK_HOLE), pos + 1), end)
        while pos < hole:
            done = _some(reading, writing, pos, at, min(_STEP, hole - pos))
            if not done:
                raise ConvertError("the source file became shorter while it was read")
            pos, at = pos + done, at + done
    if os.fstat(writing).st_size < at:
        os.ftruncate(writing, at)
    os.lseek(writing, at, os.SEEK_SET)


def _some(reading: int, writing: int, start: int, at: int, length: int) -> int:
    """Copy by the kernel; through a buffer where the file systems do not allow that."""
    try:
        return os.copy_file_range(reading, writing, length, start, at)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
    data = os.pread(reading, min(length, 1 << 20), start)
    return os.pwrite(writing, data, at)
