"""A newer version of a section or subsection is written in the version that the destination reads.

## What is changed

The version number; and the fields that came with later versions go.

## Why it is safe

It is *equivalent* when the fields that both versions have come in the same order, and each field
that goes says what the older program assumes (facts, with their origin, in
`migratable/convert/assumed.py`) or nothing goes at all. Else it is *lossy*.

## Source

`migration/vmstate.c: vmstate_load_state, vmstate_field_exists`;
`hw/ppc/spapr_iommu.c` (`def_win` in version 3), `target/ppc/machine.c` (`cpu/slb` version 2 lost a
field that only machines before 3.0 sent).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from migratable.convert import described, make
from migratable.convert.assumed import field as assumed
from migratable.convert.model import Change, EditClass, StreamEdit
from migratable.convert.proposals.proposal import Proposal
from migratable.convert.situation import Answer, NoWay, Situation
from migratable.profile.tables import Flag, VmField, Vmsd
from migratable.stream import Section
from migratable.stream.decoded import Body, Field
from migratable.stream.fields import decode
from migratable.stream.vmdesc import VmsdBody

_MOST_LEFT_OUT = 8


def propose(at: Situation) -> Iterator[Answer]:
    """The version, and all fields that go with it."""
    section = at.section
    if section is None or at.finding.field is not None:
        return
    if section.description is None or section.description.opaque:
        yield NoWay(reason="the stream does not describe the section (no vmdesc)")
        return
    name = at.finding.subsection
    if name is None:
        yield _section(at, section)
        return
    vmsd = at.destination.described(name)
    found = list(make.find_subsections(section, name))
    if vmsd is None or not found:
        yield NoWay(reason=f"{name} cannot be found in the stream or in the destination's tables")
        return
    path, body = found[0]
    start = body.offset - (section.body_offset or 0)
    version = make.edit(
        section,
        PROPOSAL.kind,
        EditClass.EQUIVALENT,
        changes=(
            Change(
                old=body.version.to_bytes(4, "big"),
                new=vmsd.version.to_bytes(4, "big"),
                offset=start - 4,
                name="version",
            ),
        ),
        path=(*path, "version"),
        name=name,
    )
    yield _together(at, section, version, body, vmsd, path)


def _section(at: Situation, section: Section) -> Answer:
    handler = next(
        (
            one
            for one in (() if at.destination.tables is None else at.destination.tables.handlers)
            if one.idstr == section.idstr and one.vmsd is not None
        ),
        None,
    )
    if handler is None or handler.vmsd is None:
        return NoWay(reason=f"the destination has no {section.idstr!r} of that name")
    assert at.destination.tables is not None
    vmsd = at.destination.tables.vmsds[handler.vmsd]
    local = min(handler.version, vmsd.version)
    version = make.with_version(section, local, PROPOSAL.kind, EditClass.EQUIVALENT)
    return _together(at, section, version, decode(section), vmsd, ())


def _together(  # noqa: PLR0917 -- both sides of one body
    at: Situation,
    section: Section,
    version: StreamEdit,
    body: Body,
    vmsd: Vmsd,
    path: tuple[str, ...],
) -> Answer:
    extra, missing = aligned([one.name for one in body.fields], vmsd)
    what = vmsd.name
    if missing:
        return NoWay(
            reason=f"{what} version {vmsd.version} has {', '.join(missing)}, which version "
            f"{body.version} does not send: it cannot be made up"
        )
    unknown = [body.fields[one].name for one in extra]
    if len(unknown) > _MOST_LEFT_OUT:
        return NoWay(
            reason=f"{what} version {body.version} has {len(unknown)} fields that version "
            f"{vmsd.version} does not have ({', '.join(dict.fromkeys(unknown[:6]))} …): it is "
            "another format"
        )
    version = replace(
        version,
        summary=f"version of {what}: {body.version} → {vmsd.version}",
        why=f"version {vmsd.version} has the same fields in the same order"
        + (", without those that are left out" if extra else ""),
    )
    edits = [version]
    for number in reversed(extra):  # from the end, so that offsets stay
        one = body.fields[number]
        edits.append(_dropped(at, section, body, one, path))
    if any(edit.edit_class is EditClass.LOSSY for edit in edits):
        risk = next(edit.risk for edit in edits if edit.risk)
        edits[0] = replace(version, edit_class=EditClass.LOSSY, risk=risk)
    return tuple(edits)


def _dropped(
    at: Situation, section: Section, body: Body, one: Field, path: tuple[str, ...]
) -> StreamEdit:
    start = one.offset - (section.body_offset or 0)
    data = bytes(section.body[start : start + one.size])
    why = assumed(body.name, one.name, data, section, body, at)
    edit = make.edit(
        section,
        PROPOSAL.kind,
        EditClass.EQUIVALENT if why else EditClass.LOSSY,
        changes=(Change(old=data, new=b"", offset=start, name=one.name),),
        path=(*path, one.name),
    )
    return replace(
        edit,
        described=_description(section, body.name, one.name),
        summary=f"{body.name}: {one.name} left out",
        why=why or "the destination has no place for it",
        risk=""
        if why
        else f"the guest loses {one.name} of {body.name} ({data[:8].hex(' ')}): the destination "
        "goes on with what its older code does",
    )


def _description(section: Section, body: str, field: str) -> str:
    """The field's own description, for the way back."""

    def within(one: VmsdBody) -> str:
        if one.name == body:
            for item in one.fields:
                if item.name == field:
                    return described.dump(replace(one, fields=(item,), subsections=()))
        for sub in one.subsections:
            if found := within(sub):
                return found
        return ""

    known = section.description
    return "" if known is None else within(known.body)


def aligned(names: Sequence[str], vmsd: Vmsd) -> tuple[list[int], list[str]]:
    """Compare the fields of a body with a description, in order.

    :param names: of the body's fields as vmdesc has them: an array may be several entries.
    :return: positions of fields that the description does not have, and names of fields that it
        always has and the body does not.
    """
    wanted = [one for one in vmsd.fields if one.version <= vmsd.version]
    extra: list[int] = []
    missing: list[str] = []
    at = 0
    last = ""
    for position, name in enumerate(names):
        if name == last:
            continue
        place = next((n for n in range(at, len(wanted)) if wanted[n].name == name), None)
        if place is None:
            extra.append(position)
            continue
        missing += [one.name for one in wanted[at:place] if not _optional(one)]
        at, last = place + 1, name
    missing += [one.name for one in wanted[at:] if not _optional(one)]
    return extra, missing


def _optional(field: VmField) -> bool:
    """A vmdesc has no entry for an array without elements."""
    return bool(field.test) or bool(field.flags & Flag.MUST_EXIST) or field.counter is not None


PROPOSAL = Proposal(
    kind="newer-version", rules=("section-version", "version-too-new"), propose=propose
)
