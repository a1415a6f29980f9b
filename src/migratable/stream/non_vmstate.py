"""Fields of sections that are not VMState, and of virtio devices in a stream without vmdesc."""

from __future__ import annotations

from collections.abc import Callable

from migratable.errors import StreamError
from migratable.stream import virtio
from migratable.stream.builder import Builder
from migratable.stream.cursor import Cursor
from migratable.stream.decoded import Body
from migratable.stream.iterable import NO_HTAB
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind

_MAX_CHUNKS = 10_000


def decoder(section: Section) -> Callable[[Section], Body] | None:
    """Give the function that takes such a section apart, None when it stays bytes."""
    if section.kind is not SectionKind.FULL:
        return {"ram": _ram, "spapr/htab": _htab}.get(section.idstr)
    return _virtio if _is_virtio(section.idstr) else None


def _is_virtio(idstr: str) -> bool:
    """Does the section hold a virtio device, and not what ``virtio-mem`` sends before RAM?"""
    kind = idstr.rpartition("/")[2]
    return kind.startswith(("virtio-", "vhost-")) and not kind.endswith("-early")


def _ram(section: Section) -> Body:
    cursor = section.cursor()
    out = Builder(cursor, "ram", section.version_id)
    if section.kind is SectionKind.START:
        out.u64("mem_size")
    out.bytes("blocks" if section.kind is SectionKind.START else "records", cursor.remaining)
    return out.body()


def _htab(section: Section) -> Body:
    cursor = section.cursor()
    out = Builder(cursor, "spapr/htab", section.version_id)
    head = out.u32("htab_shift" if section.kind is SectionKind.START else "section_hdr")
    if section.kind is SectionKind.START or head == NO_HTAB:
        return out.body()
    chunks: list[Body] = []
    while cursor.remaining > 8 and len(chunks) < _MAX_CHUNKS:
        chunk = Builder(cursor, "chunk")
        chunk.u32("index")
        valid = chunk.u16("n_valid")
        chunk.u16("n_invalid")
        chunk.bytes("entries", 16 * valid)
        chunks.append(chunk.body())
    out.structs("chunks", tuple(chunks))
    out.bytes("end", cursor.remaining)
    return out.body()


def _virtio(section: Section) -> Body:
    """Take a virtio section apart that has no description: the blob, when that is all."""
    cursor = section.cursor()
    try:
        found = _bare_blob(section)
    except StreamError:
        found = None
    out = Builder(cursor, section.idstr.rpartition("/")[2], section.version_id)
    if found is None:
        out.bytes("data", cursor.remaining)
        return out.body()
    cursor.skip(found.size)
    out.structs("virtio", (found.body,), "virtio")
    if cursor.remaining:
        out.bytes("data", cursor.remaining)
    return out.body()


def _bare_blob(section: Section) -> virtio.Virtio:
    """Find the blob in a section that nothing describes; fields of the device may follow it."""
    offset = section.body_offset or 0
    whole = virtio.parse(section.body, offset=offset, idstr=section.idstr)
    if whole.subsections or not whole.device:
        return whole
    return virtio.parse(section.body, offset=offset, idstr=section.idstr, exact=False)


def virtio_of(section: Section) -> virtio.Virtio | None:
    """Give the blob of a virtio section with or without vmdesc, None when it has none.

    :raise StreamError: when the blob cannot be taken apart.
    """
    if section.kind is not SectionKind.FULL or not _is_virtio(section.idstr):
        return None
    if section.description is None:
        return _bare_blob(section)
    cursor = Cursor(section.body, base=section.body_offset or 0)
    for field in section.description.body.fields:
        if field.type == "virtio":
            data = cursor.data[cursor.pos : cursor.pos + field.size]
            return virtio.parse(data, offset=cursor.offset, idstr=section.idstr)
        cursor.skip(field.total_size)
    return None
