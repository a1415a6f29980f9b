"""Edits of a section, made from what its fields and subsections are called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.convert import described
from migratable.convert.apply import keyed
from migratable.convert.model import Change, EditClass, Operation, Place, StreamEdit
from migratable.stream.decoded import Body
from migratable.stream.fields import decode
from migratable.stream.model import Section, Stream
from migratable.stream.vmdesc import VmsdBody
from migratable.stream.wire_format import SectionKind


def edit(
    section: Section,
    kind: str,
    edit_class: EditClass,
    *,
    changes: tuple[Change, ...],
    path: tuple[str, ...] = (),
    operation: Operation = Operation.BODY,
    name: str = "",
) -> StreamEdit:
    """An edit of a section; its words are still to be said.

    :param name: what tells it from other edits of the same kind in the section, for its id.
    """
    where = section.idstr + (f":{section.instance_id}" if section.instance_id else "")
    return StreamEdit(
        id=":".join(filter(None, (kind, where, name or "/".join(path)))),
        kind=kind,
        edit_class=edit_class,
        operation=operation,
        section=section.idstr,
        instance_id=section.instance_id & 0xFFFFFFFF,
        path=path,
        changes=changes,
    )


def find_subsections(section: Section, name: str) -> Iterator[tuple[tuple[str, ...], Body]]:
    """All subsections of that full name with the path to them, outermost first.

    :raise StreamError: when the section cannot be decoded.
    """
    yield from _within(decode(section), name, ())


def _within(body: Body, name: str, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Body]]:
    for field in body.fields:
        for child in field.children:
            yield from _within(child, name, (*path, field.name))
    for sub in body.subsections:
        here = (*path, sub.name)
        if sub.name == name:
            yield here, sub
        yield from _within(sub, name, here)


def drop_subsection(
    section: Section, path: tuple[str, ...], sub: Body, kind: str, edit_class: EditClass
) -> StreamEdit:
    """Leave a subsection out."""
    start = sub.offset - (section.body_offset or 0) - subsection_head(sub.name)
    end = sub.offset - (section.body_offset or 0) + sub.size
    change = Change(old=bytes(section.body[start:end]), new=b"", offset=start, name=sub.name)
    made = edit(section, kind, edit_class, changes=(change,), path=path, name=sub.name)
    known = section.description
    body = None if known is None else _described(known.body, sub.name)
    return made if body is None else replace(made, described=described.dump(body))


def subsection_head(name: str) -> int:
    """Bytes before a subsection's body."""
    return 6 + len(name.encode("utf-8", "surrogateescape"))


def _described(body: VmsdBody, name: str) -> VmsdBody | None:
    for field in body.fields:
        for inner in (field.struct, *field.elements):
            if inner is not None and (found := _described(inner, name)) is not None:
                return found
    for sub in body.subsections:
        if sub.name == name:
            return sub
        if (found := _described(sub, name)) is not None:
            return found
    return None


def with_version(section: Section, version: int, kind: str, edit_class: EditClass) -> StreamEdit:
    """Give the section another version."""
    old, new = (one.to_bytes(4, "big") for one in (section.version_id, version))
    return edit(
        section,
        kind,
        edit_class,
        changes=(Change(old=old, new=new, name="version_id"),),
        path=("version_id",),
        operation=Operation.HEADER,
    )


def drop_section(stream: Stream, section: Section, kind: str, edit_class: EditClass) -> StreamEdit:
    """Leave a whole section out."""
    body = bytes(section.body)
    made = edit(
        section,
        kind,
        edit_class,
        changes=(Change(old=body, new=b"", offset=0),),
        operation=Operation.DROP,
    )
    before: tuple[str, int, int] | None = None
    repeat = 0
    for key, one in keyed(stream.sections):
        if one is section:
            repeat = key[2]
            break
        before = key if one.kind is SectionKind.FULL else before
    known = section.description
    return replace(
        made,
        repeat=repeat,
        described="" if known is None or known.opaque else described.dump(known.body),
        place=Place(
            section_id=section.section_id,
            version_id=section.version_id,
            footer=section.footer,
            after=before,
        ),
    )


def whole(section: Section) -> bool:
    """Whether the section is one of a device, which can be dropped by itself."""
    return section.kind is SectionKind.FULL
