"""A section's description (its part of the vmdesc) follows the edits of its body.

No loader reads it, every tool that names fields does; what cannot be followed becomes ``None``,
and then the whole body is one field of bytes.
"""

from __future__ import annotations

from dataclasses import replace

from migratable.convert.model import Change, Operation, StreamEdit
from migratable.errors import StreamError
from migratable.stream import vmdesc
from migratable.stream.cursor import Buffer
from migratable.stream.vmdesc import VmDevice, VmField, VmsdBody
from migratable.stream.wire_format import SUBSECTION


def device(edit: StreamEdit) -> VmDevice | None:
    """What an added section is described by."""
    if not edit.described or edit.section is None:
        return None
    body = _parsed(edit.described)
    if body is None or body.size != len(edit.changes[0].new):
        return None
    return VmDevice(idstr=edit.section, instance_id=edit.instance_id, body=body)


def dump(body: VmsdBody) -> str:
    """JSON of a body, as an edit keeps it."""
    one = VmDevice(idstr="", instance_id=0, body=body)
    return vmdesc.dump(vmdesc.VmDescription(page_size=4096, devices=(one,))).decode("ascii")


def _parsed(text: str) -> VmsdBody | None:
    try:
        return vmdesc.parse(text.encode("ascii", "replace")).devices[0].body
    except (StreamError, IndexError):
        return None


def after(known: VmDevice | None, edit: StreamEdit, before: Buffer) -> VmDevice | None:
    """The description of the body after the edit."""
    if known is None:
        return None
    if edit.operation is not Operation.BODY:
        return known
    if known.opaque:
        grown = sum(len(change.new) - len(change.old) for change in edit.changes)
        data = VmField(name="data", type="buffer", size=len(before) + grown)
        return replace(known, body=replace(known.body, fields=(data,)))
    body: VmsdBody | None = known.body
    shift = 0
    for change in edit.changes:
        at = len(before) - len(change.old) if change.offset is None else change.offset
        grown = len(change.new) - len(change.old)
        if grown and body is not None:
            body = _inside(body, 0, at + shift, change, edit, edit.path)
        elif body is not None:
            body = _renumbered(body, 0, at + shift, change)
        shift += grown
    return None if body is None else replace(known, body=body)


def _inside(  # noqa: PLR0917 -- a walk hands its place on
    body: VmsdBody, start: int, at: int, change: Change, edit: StreamEdit, path: tuple[str, ...]
) -> VmsdBody | None:
    """Take out or put in what lies at *at*, in the body that it is a direct part of.

    :param start: of the body.
    :param path: of what is put in, from this body on: where one part ends another may, too.
    """
    end = at + len(change.old)
    grown = len(change.new) - len(change.old)
    here = start
    for number, field in enumerate(body.fields):
        following = here + field.total_size
        if (here, following) == (at, end) and not change.new:
            return replace(body, fields=body.fields[:number] + body.fields[number + 1 :])
        named = len(path) > 1 and path[0] == field.name
        inside = here <= at and end <= following
        if inside and not change.old:
            inside = here < at < following or (named and at > here)
        if inside and field.count == 1 and not field.elements:
            inner: VmsdBody | None = None
            if field.struct is not None:
                inner = _inside(field.struct, here, at, change, edit, path[1:])
                if inner is None:
                    return None
            new = replace(field, struct=inner, size=field.size + grown)
            return replace(body, fields=(*body.fields[:number], new, *body.fields[number + 1 :]))
        if here == at and not change.old and not _is_subsection(change.new):
            return replace(
                body, fields=(*body.fields[:number], _field(edit, change), *body.fields[number:])
            )
        here = following
    if here == at and not change.old and not _is_subsection(change.new):
        return replace(body, fields=(*body.fields, _field(edit, change)))
    for number, sub in enumerate(body.subsections):
        head = 6 + len(sub.name.encode("utf-8", "surrogateescape"))
        following = here + head + sub.size
        if (here, following) == (at, end) and not change.new:
            left = body.subsections[:number] + body.subsections[number + 1 :]
            return replace(body, subsections=left)
        named = len(path) > 1 and path[0] == sub.name
        if here + head <= at and end <= following and (change.old or at < following or named):
            into = _inside(sub, here + head, at, change, edit, path[1:])
            if into is None:
                return None
            subs = (*body.subsections[:number], into, *body.subsections[number + 1 :])
            return replace(body, subsections=subs)
        if here == at and not change.old:
            new_sub = _subsection(edit, change)
            if new_sub is None:
                return None
            subs = (*body.subsections[:number], new_sub, *body.subsections[number:])
            return replace(body, subsections=subs)
        here = following
    if here == at and not change.old:
        new_sub = _subsection(edit, change)
        return None if new_sub is None else replace(body, subsections=(*body.subsections, new_sub))
    return None


def _renumbered(body: VmsdBody, start: int, at: int, change: Change) -> VmsdBody:
    """Follow the version of a subsection that was changed in its header."""
    here = start + sum(field.total_size for field in body.fields)
    subs = list(body.subsections)
    for number, sub in enumerate(subs):
        head = 6 + len(sub.name.encode("utf-8", "surrogateescape"))
        if at == here + head - 4 and len(change.new) == 4:
            subs[number] = replace(sub, version=int.from_bytes(change.new, "big"))
        elif here + head <= at < here + head + sub.size:
            subs[number] = _renumbered(sub, here + head, at, change)
        here += head + sub.size
    return replace(body, subsections=tuple(subs))


def _is_subsection(data: bytes) -> bool:
    return len(data) > 6 and data[0] == SUBSECTION and 6 + data[1] <= len(data)


def _field(edit: StreamEdit, change: Change) -> VmField:
    if edit.described:
        body = _parsed(edit.described)
        if body is not None and len(body.fields) == 1 and body.size == len(change.new):
            return body.fields[0]
    name = change.name or (edit.path[-1] if edit.path else "data")
    return VmField(name=name, type="buffer", size=len(change.new))


def _subsection(edit: StreamEdit, change: Change) -> VmsdBody | None:
    data = change.new
    if not _is_subsection(data):
        return None
    head = 6 + data[1]
    name = data[2 : 2 + data[1]].decode("utf-8", "surrogateescape")
    version = int.from_bytes(data[head - 4 : head], "big")
    if edit.described:
        body = _parsed(edit.described)
        if body is not None and body.name == name and body.size == len(data) - head:
            return body
    fields = (VmField(name="data", type="buffer", size=len(data) - head),)
    return VmsdBody(name=name, version=version, fields=fields if len(data) > head else ())


__all__ = ["after", "device", "dump"]
