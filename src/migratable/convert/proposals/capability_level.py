"""The edit sends a pseries capability at the destination's level.

## What is changed

The edit adds the subsection `spapr/cap/NAME` to the section `spapr`, or changes its level, to the
destination's level.

## Why it is safe

If the source sends no such subsection, the destination uses its own default. Sometimes the stream
itself shows the source's level: the interrupt controllers XICS and XIVE have sections of their
own. The edit is then *lossless*: it changes nothing about the guest, and only adds a value that
the stream implies.

Every other lower level is *lossy*: the guest was told that it has the capability.

## Source

`hw/ppc/spapr_caps.c: spapr_caps_post_migration, SPAPR_CAP_MIG_STATE`; `hw/ppc/spapr_irq.c`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.convert import make
from migratable.convert.assumed import has_controller
from migratable.convert.model import Change, EditClass, StreamEdit
from migratable.convert.proposals.proposal import Proposal
from migratable.convert.situation import Answer, NoWay, Situation
from migratable.profile.tables import MachineCapability
from migratable.stream import Section
from migratable.stream.wire_format import SUBSECTION

_CAPABILITY = "spapr/cap/"


def propose(situation: Situation) -> Iterator[Answer]:
    """All capabilities that are higher: one does not help without the others."""
    section = situation.stream.device("spapr")
    if section is None or not situation.destination.capabilities:
        yield NoWay(reason="the destination's capabilities are not known")
        return
    edits: list[StreamEdit] = []
    for cap in situation.destination.capabilities:
        name = f"{_CAPABILITY}{cap.wire}"
        found = list(make.find_subsections(section, name)) if cap.wire else []
        start = found[0][1].offset - (section.body_offset or 0) if found else 0
        level = int(section.body[start]) if found else cap.default
        if level <= cap.effective:
            continue
        if not cap.wire:
            yield NoWay(reason=f"cap-{cap.name} is not a part of streams")
            return
        if found:
            edits.append(_lowered(section, name, level, cap, start))
        else:
            edits.append(_added(section, name, level, cap, situation))
    if edits:
        yield tuple(edits)


def _added(
    section: Section, name: str, level: int, cap: MachineCapability, situation: Situation
) -> StreamEdit:
    there = has_controller(situation.stream.sections, cap.wire)
    shown = there is not None and int(there) <= cap.effective
    data = _subsection(name, cap.effective)
    edit = make.edit(
        section,
        PROPOSAL.kind,
        EditClass.LOSSLESS if shown else EditClass.LOSSY,
        changes=(Change(old=b"", new=data, name=name),),
        path=(name,),
        name=cap.name,
    )
    edit = replace(
        edit,
        described=f'{{"page_size": 4096, "devices": [{{"name": "", "instance_id": 0, '
        f'"vmsd_name": "{name}", "version": 1, "fields": [{{"name": "caps.caps[{cap.name}]", '
        f'"type": "uint8", "size": 1}}]}}]}}',
        summary=f"subsection {name} added: level {cap.effective}",
    )
    if shown:
        return replace(
            edit,
            why=f"the source sends no level and the destination takes its own default ({level}); "
            f"the stream has {'the' if there else 'no'} sections of that interrupt controller, so "
            f"the source's level is {int(bool(there))}",
        )
    return replace(
        edit,
        why=f"the source sends no level; the destination takes its own default ({level}) for it",
        risk=_risk(cap, level),
    )


def _lowered(
    section: Section, name: str, level: int, cap: MachineCapability, start: int
) -> StreamEdit:
    edit = make.edit(
        section,
        PROPOSAL.kind,
        EditClass.LOSSY,
        changes=(Change(old=bytes([level]), new=bytes([cap.effective]), offset=start, name=name),),
        path=(name,),
        name=cap.name,
    )
    return replace(
        edit,
        summary=f"level of cap-{cap.name}: {level} → {cap.effective}",
        why="the destination has the lower level",
        risk=_risk(cap, level),
    )


def _risk(cap: MachineCapability, level: int) -> str:
    return (
        f"the guest was told that it has cap-{cap.name} at level {level} and may use it; the "
        f"destination has level {cap.effective}"
    )


def _subsection(name: str, level: int) -> bytes:
    raw = name.encode("ascii")
    return bytes([SUBSECTION, len(raw)]) + raw + (1).to_bytes(4, "big") + bytes([level])


PROPOSAL = Proposal(kind="capability-level", rules=("capability-higher",), propose=propose)
