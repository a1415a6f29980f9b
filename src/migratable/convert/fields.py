"""Fields of a body beside a destination's description of it, and edits that leave them out."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from migratable.convert import described, make
from migratable.convert.assumed import field as assumed
from migratable.convert.model import Change, EditClass, StreamEdit
from migratable.convert.situation import Situation
from migratable.profile.tables import Flag, LoaderTables, VmField, Vmsd
from migratable.stream import Section
from migratable.stream.decoded import Body, Field
from migratable.stream.vmdesc import VmsdBody


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """A field that the destination does not have, and the body that it is in."""

    body: Body
    field: Field
    path: tuple[str, ...]


def left_out(situation: Situation, section: Section, extra: Extra, kind: str) -> StreamEdit:
    """Leave a field out: equivalent when the destination assumes what it says, else lossy."""
    body, field = extra.body, extra.field
    start = field.offset - (section.body_offset or 0)
    data = bytes(section.body[start : start + field.size])
    why = assumed(body.name, field.name, data, section, body, situation)
    if not why and (where := situation.fresh_field(body.name, field.name, data)):
        why = f"it is at its default: at power-on {where} sends the same"
    edit = make.edit(
        section,
        kind,
        EditClass.EQUIVALENT if why else EditClass.LOSSY,
        changes=(Change(old=data, new=b"", offset=start, name=field.name),),
        path=(*extra.path, field.name),
    )
    return replace(
        edit,
        described=_description(section, body.name, field.name),
        summary=f"{body.name}: {field.name} left out",
        why=why or "the destination has no place for it",
        risk=""
        if why
        else f"the guest loses {field.name} of {body.name} ({data[:8].hex(' ')}): the destination "
        "behaves like its older code",
    )


def _description(section: Section, body: str, field: str) -> str:
    """The field's own description, for the way back."""

    def within(one: VmsdBody) -> str:
        for item in one.fields:
            if one.name == body and item.name == field:
                return described.dump(replace(one, fields=(item,), subsections=()))
            if item.struct is not None and (found := within(item.struct)):
                return found
        for sub in one.subsections:
            if found := within(sub):
                return found
        return ""

    known = section.description
    return "" if known is None else within(known.body)


def compared(
    body: Body, vmsd: Vmsd, tables: LoaderTables, path: tuple[str, ...] = ()
) -> tuple[list[Extra], list[str]]:
    """Compare a body with the destination's description of it, structures inside too.

    :return: fields that the description does not have, and what it always has and the body does
        not have, or has in another type.
    """
    wanted = [field for field in vmsd.fields if field.version <= vmsd.version]
    extra: list[Extra] = []
    missing: list[str] = []
    at = 0
    last = ""
    for field in body.fields:
        name = _plain(field.name)
        if name == last:
            continue
        place = next((n for n in range(at, len(wanted)) if _plain(wanted[n].name) == name), None)
        if place is None:
            extra.append(Extra(body=body, field=field, path=path))
            continue
        missing += [item.name for item in wanted[at:place] if not _optional(item)]
        item = wanted[place]
        at, last = place + 1, name
        if item.vmsd is not None and field.children:
            inner = tables.vmsds[item.vmsd]
            if inner.name != field.children[0].name:
                missing.append(f"{field.name} as {inner.name}")
            for child in field.children:
                more, less = compared(child, inner, tables, (*path, field.name))
                extra += more
                missing += less
        elif item.vmsd is None and item.info and not _same_type(field, item.info):
            missing.append(f"{field.name} as {item.info}")
    missing += [item.name for item in wanted[at:] if not _optional(item)]
    return extra, missing


def _same_type(field: Field, info: str) -> bool:
    """Whether the destination reads the same value from the same bytes."""
    if field.type == info:
        return True
    if info == "bool":
        return _WIDTHS.get(field.type) == 1 and field.value in (0, 1)
    return field.type in _WIDTHS and _WIDTHS[field.type] == _WIDTHS.get(info)


_WIDTHS = {
    "bool": 1,
    **{f"{sign}int{8 * width}": width for sign in ("", "u") for width in (1, 2, 4, 8)},
    **{f"uint{8 * width} equal": width for width in (1, 2, 4, 8)},
    "int32 equal": 4,
    "int32 le": 4,
    "timer": 8,
}
_INDEX = re.compile(r"\[\d+\]$")


def _plain(name: str) -> str:
    """A field's name without the number that vmdesc gives an element of an array."""
    return _INDEX.sub("", name)


def _optional(field: VmField) -> bool:
    """A vmdesc has no entry for an array without elements."""
    return bool(field.test) or bool(field.flags & Flag.MUST_EXIST) or field.counter is not None
