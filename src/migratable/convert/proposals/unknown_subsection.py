"""The edit removes a subsection that the destination does not know.

## What is changed

The edit removes the subsection, with everything inside it.

## Why it is safe

The edit is *lossless* in two cases. A program without the subsection assumes the same value: facts
say so (a capability at level 0, upper feature bits that are all clear). Or a machine at power-on
sends exactly the same bytes, so the guest has changed nothing there. Otherwise it is
*lossy*: the destination lacks a part of the device that the guest may use.

## Source

`migration/vmstate.c: vmstate_subsection_load`; the facts in `migratable/convert/assumed.py` name
their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.convert import make
from migratable.convert.assumed import subsection as assumed
from migratable.convert.model import EditClass
from migratable.convert.proposals.proposal import Proposal
from migratable.convert.situation import Answer, NoWay, Situation


def propose(situation: Situation) -> Iterator[Answer]:
    """One edit for each place of the subsection in the section."""
    name, section = situation.finding.subsection, situation.section
    if name is None or section is None:
        return
    found = list(make.find_subsections(section, name))
    if not found:
        yield NoWay(
            reason=f"the subsection {name} cannot be found: the stream does not describe the "
            "section (no vmdesc)"
        )
        return
    path, sub = found[0]
    start = sub.offset - (section.body_offset or 0)
    data = bytes(section.body[start : start + sub.size])
    edit = make.drop_subsection(section, path, sub, PROPOSAL.kind, EditClass.LOSSLESS)
    edit = replace(edit, summary=f"subsection {name} left out ({len(data)} bytes)")
    why = assumed(name, data, situation)
    if not why and (where := situation.fresh_with(name, data)):
        why = f"it is at its default: at power-on {where} sends the same bytes"
    if why:
        yield (replace(edit, why=why),)
        return
    yield (
        replace(
            edit,
            edit_class=EditClass.LOSSY,
            why="the destination has no place for it",
            risk=f"the guest loses what {name} holds: what it set there is gone on the destination",
        ),
    )


PROPOSAL = Proposal(kind="unknown-subsection", rules=("unknown-subsection",), propose=propose)
