"""A stream as plain data: what ``migratable inspect --json`` prints (``migratable.stream/1``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import Any

from migratable.errors import StreamError
from migratable.facts import virtio as virtio_facts
from migratable.stream.decoded import Body, Field, Value
from migratable.stream.fields import decode
from migratable.stream.iterable import read_htab_start
from migratable.stream.model import Command, Section, Span, Stream, flatten
from migratable.stream.non_vmstate import virtio_of
from migratable.stream.ram import RamBlock
from migratable.stream.virtio import Virtio
from migratable.stream.wire_format import WHOLE, SectionKind

SCHEMA = "migratable.stream/1"
MAX_BYTES = 4096
"""Longer buffers are told by size and checksum only, unless all is asked for."""


def summary(
    stream: Stream, *, wanted: Callable[[Section], bool] | None = None, full: bool = False
) -> dict[str, Any]:
    """Everything about a stream.

    :param wanted: sections to be listed (default: all).
    :param full: give long buffers whole.
    """
    sections = [
        one for one in stream.sections if one.kind in WHOLE and (wanted is None or wanted(one))
    ]
    parts = count_parts(stream)
    return {
        "schema": SCHEMA,
        "container": {"kind": stream.container, **stream.facts},
        "version": stream.version,
        "configuration": _configuration(stream),
        "page_size": stream.page_size,
        "ram": _ram(stream),
        "capabilities": spapr_capabilities(stream),
        "commands": [_command(command) for command in stream.commands],
        "sections": [_section(one, parts, full=full) for one in sections],
        "vmdesc_error": stream.vmdesc_error,
        "vmdesc": None
        if stream.vmdesc is None
        else {
            "offset": stream.vmdesc.offset,
            "size": len(stream.vmdesc.raw),
            "devices": len(stream.vmdesc.devices),
        },
        "trailer_bytes": len(stream.trailer),
    }


def _configuration(stream: Stream) -> dict[str, Any] | None:
    found = stream.configuration
    if found is None:
        return None
    return {
        "machine": found.machine,
        "target_page_bits": found.target_page_bits,
        "capabilities": list(found.capabilities),
        "uuid": None if found.uuid is None else str(found.uuid),
        "subsections": [sub.name for sub in found.subsections],
    }


def _ram(stream: Stream) -> dict[str, Any] | None:
    if stream.ram is None:
        return None
    unwalked = sum(
        len(element.data)
        for element in flatten(stream.elements)
        if isinstance(element, Span) and not element.walked
    )
    return {
        "total": stream.ram.total,
        "walked": stream.ram_statistics is not None,
        "unwalked_bytes": unwalked,
        "blocks": [_block(stream, block) for block in stream.ram.blocks],
    }


def _block(stream: Stream, block: RamBlock) -> dict[str, Any]:
    out: dict[str, Any] = {"id": block.id, "used_length": block.used_length}
    if block.page_size is not None:
        out["page_size"] = block.page_size
    if block.gpa is not None:
        out["gpa"] = block.gpa
    if block.mapped is not None:
        out["mapped_ram"] = {
            "page_size": block.mapped.page_size,
            "bitmap_offset": block.mapped.bitmap_offset,
            "pages_offset": block.mapped.pages_offset,
        }
        out["pages"] = mapped_pages(stream, block)
    statistics = stream.ram_statistics
    if statistics is not None and block.mapped is None:
        count = statistics.blocks.get(block.id)
        out["pages"] = {
            "normal": 0 if count is None else count.normal,
            "zero": 0 if count is None else count.zero,
            "xbzrle": 0 if count is None else count.xbzrle,
            "compressed": 0 if count is None else count.compressed,
            "bytes": 0 if count is None else count.bytes,
        }
    return out


def mapped_pages(stream: Stream, block: RamBlock) -> dict[str, int]:
    """Give Stored and zero pages of a block in a mapped-ram file, from its bitmap."""
    header = block.mapped
    start = stream.device("ram")
    assert header is not None and start is not None and start.body_offset is not None
    pages = -(-block.used_length // header.page_size)
    at = header.bitmap_offset - start.body_offset
    bitmap = bytes(start.body[at : at + -(-pages // 8)])
    stored = int.from_bytes(bitmap, "little").bit_count()
    return {"normal": stored, "zero": pages - stored, "bytes": stored * header.page_size}


def spapr_capabilities(stream: Stream) -> dict[str, int]:
    """Capabilities that a pseries source sent (``spapr/cap/NAME``); others are not in a stream."""
    section = stream.device("spapr")
    if section is None or section.description is None:
        return {}
    try:
        body = decode(section)
    except StreamError:
        return {}
    out: dict[str, int] = {}
    for sub in body.subsections:
        if sub.name.startswith("spapr/cap/") and sub.fields:
            value = sub.fields[0].value
            if isinstance(value, int):
                out[f"cap-{sub.name[10:].replace('_', '-')}"] = value
    return out


def _command(command: Command) -> dict[str, Any]:
    return {
        "name": command.name,
        "number": command.kind,
        "offset": command.offset,
        "payload": bytes(command.payload).hex(),
    }


def count_parts(stream: Stream) -> dict[int, tuple[int, int]]:
    """Count PART and END sections by section id: how many, and the bytes of their bodies."""
    out: dict[int, tuple[int, int]] = {}
    for one in stream.sections:
        if one.kind in (SectionKind.PART, SectionKind.END):
            number, size = out.get(one.section_id, (0, 0))
            out[one.section_id] = (number + 1, size + len(one.body))
    return out


def _section(
    section: Section, parts: Mapping[int, tuple[int, int]], *, full: bool
) -> dict[str, Any]:
    out: dict[str, Any] = {
        "idstr": section.idstr,
        "instance_id": section.instance_id,
        "version_id": section.version_id,
        "section_id": section.section_id,
        "kind": section.kind.name,
        "offset": section.offset,
        "body_size": len(section.body),
        "footer": section.footer,
    }
    if section.kind is SectionKind.START:
        out["parts"], out["parts_bytes"] = parts.get(section.section_id, (0, 0))
        if section.idstr == "spapr/htab":
            out["htab_shift"] = read_htab_start(section.cursor())
        return out
    try:
        body = decode(section)
        out["described"] = section.description is not None
        out.update(body_json(body, full=full))
        virtio = virtio_of(section)
    except StreamError as error:
        out["error"] = str(error)
        return out
    if virtio is not None:
        out["virtio"] = virtio_json(section, virtio)
    return out


def virtio_json(section: Section, found: Virtio) -> dict[str, Any]:
    """Give What matters of a virtio blob."""
    kind = section.idstr.rpartition("/")[2]
    return {
        "transport": found.transport,
        "status": found.status,
        "guest_features": f"{found.guest_features:#x}",
        "guest_feature_names": list(virtio_facts.names(kind, found.guest_features)),
        "config_length": len(found.config),
        "msix_entries": found.msix_entries,
        "queues": [
            {
                "num": queue.num,
                "num_default": queue.num_default,
                "desc": queue.desc,
                "last_avail_idx": queue.last_avail_idx,
            }
            for queue in found.queues
        ],
        "subsections": list(found.subsections),
    }


def body_json(body: Body, *, full: bool = False) -> dict[str, Any]:
    """Give a decoded body; equal neighbours in an array of structs once, with a ``count``."""
    out: dict[str, Any] = {"vmsd": body.name, "fields": [_field(one, full) for one in body.fields]}
    if body.subsections:
        out["subsections"] = [
            {"name": sub.name, "version_id": sub.version, "offset": sub.offset}
            | body_json(sub, full=full)
            for sub in body.subsections
        ]
    if body.rest is not None:
        out["undescribed_bytes"] = len(body.rest)
    return out


def _field(field: Field, full: bool) -> dict[str, Any]:
    out: dict[str, Any] = {
        "name": field.name,
        "type": field.type,
        "offset": field.offset,
        "size": field.size,
    }
    if field.children:
        runs = collapse(field.children)
        out["elements"] = [
            ({"count": count} if count > 1 else {}) | body_json(child, full=full)
            for child, count in runs
        ]
    elif field.value is not None:
        out |= value_json(field.value, full=full)
    return out


def value_json(value: Value, *, full: bool = False) -> dict[str, Any]:
    """Give a value: ``value`` for numbers, flags and arrays, ``hex`` (or a checksum) for bytes."""
    if isinstance(value, memoryview):
        if len(value) > MAX_BYTES and not full:
            import hashlib  # noqa: PLC0415 -- often not wanted

            return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
        return {"hex": value.hex()}
    if isinstance(value, tuple):
        return {"value": list(value)}
    return {"value": value}


def fingerprint(body: Body) -> tuple[Any, ...]:
    """Names and values, without places: equal for equal contents."""
    return (
        body.name,
        body.version,
        tuple(
            (
                one.name,
                one.size,
                bytes(one.value) if isinstance(one.value, memoryview) else one.value,
                tuple(fingerprint(child) for child in one.children),
            )
            for one in body.fields
        ),
        tuple(fingerprint(sub) for sub in body.subsections),
    )


def collapse(bodies: Iterable[Body]) -> list[tuple[Body, int]]:
    """Neighbours with equal contents as one, with how many there are."""
    out: list[tuple[Body, int]] = []
    for _, run in groupby(bodies, key=fingerprint):
        group = list(run)
        out.append((group[0], len(group)))
    return out
