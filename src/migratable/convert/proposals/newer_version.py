"""The edit writes a section or subsection in the older version that the destination reads.

## What is changed

The edit lowers the version number and removes the fields that later versions added.

## Why it is safe

The edit is *equivalent* if the fields of both versions are in the same order, and each removed
field has the value that the older program assumes (facts, with their origin, in
`migratable/convert/assumed.py`), or no field is removed. Otherwise it is *lossy*.

## Source

`migration/vmstate.c: vmstate_load_state, vmstate_field_exists`;
`hw/ppc/spapr_iommu.c` (`def_win` in version 3), `target/ppc/machine.c` (`cpu/slb` version 2 lost a
field that only machines before 3.0 sent).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.convert import make
from migratable.convert.fields import compared, left_out
from migratable.convert.model import Change, EditClass, StreamEdit
from migratable.convert.proposals.proposal import Proposal
from migratable.convert.situation import Answer, NoWay, Situation
from migratable.profile.tables import Vmsd
from migratable.stream import Section
from migratable.stream.decoded import Body
from migratable.stream.fields import decode

_MOST_LEFT_OUT = 8


def propose(situation: Situation) -> Iterator[Answer]:
    """The version, and all fields that go with it."""
    section = situation.section
    if section is None or situation.finding.field is not None:
        return
    if section.description is None or section.description.opaque:
        yield NoWay(reason="the stream does not describe the section (no vmdesc)")
        return
    name = situation.finding.subsection
    if name is None:
        yield _section(situation, section)
        return
    vmsd = situation.destination.described(name)
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
    yield _together(situation, section, version, body, vmsd, path)


def _section(situation: Situation, section: Section) -> Answer:
    handler = next(
        (
            one
            for one in (
                ()
                if situation.destination.tables is None
                else situation.destination.tables.handlers
            )
            if one.idstr == section.idstr and one.vmsd is not None
        ),
        None,
    )
    if handler is None or handler.vmsd is None:
        return NoWay(reason=f"the destination has no {section.idstr!r} of that name")
    assert situation.destination.tables is not None
    vmsd = situation.destination.tables.vmsds[handler.vmsd]
    local = min(handler.version, vmsd.version)
    version = make.with_version(section, local, PROPOSAL.kind, EditClass.EQUIVALENT)
    return _together(situation, section, version, decode(section), vmsd, ())


def _together(  # noqa: PLR0917 -- both sides of one body
    situation: Situation,
    section: Section,
    version: StreamEdit,
    body: Body,
    vmsd: Vmsd,
    path: tuple[str, ...],
) -> Answer:
    assert situation.destination.tables is not None
    extra, missing = compared(body, vmsd, situation.destination.tables, path)
    what = vmsd.name
    if missing:
        return NoWay(
            reason=f"{what} version {vmsd.version} has {', '.join(missing)}, which version "
            f"{body.version} does not send: it cannot be derived"
        )
    unknown = [one.field.name for one in extra]
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
    last_first = sorted(extra, key=lambda each: -each.field.offset)  # so that offsets stay
    edits = [version, *(left_out(situation, section, one, PROPOSAL.kind) for one in last_first)]
    if any(edit.edit_class is EditClass.LOSSY for edit in edits):
        risk = next(edit.risk for edit in edits if edit.risk)
        edits[0] = replace(version, edit_class=EditClass.LOSSY, risk=risk)
    return tuple(edits)


PROPOSAL = Proposal(
    kind="newer-version", rules=("section-version", "version-too-new"), propose=propose
)
