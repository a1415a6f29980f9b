"""Fields that the destination's tables do not have go, where the version does not tell.

## What is changed

A section of which the destination reads fewer bytes than the source wrote loses the fields that the
destination's description of it does not have, also inside of structures.

## Why it is safe

As for {doc}`newer-version`: *equivalent* when each field that goes says what the older program
assumes, or is at its default, as a just started machine sends it. QEMU itself takes the two for
equal: a newer program that loads an older stream leaves such a field at that default. Else *lossy*.

Arrays whose number of elements is the machine's own (CPUs, ports, slots) are not touched: there the
machines differ, not the programs.

## Source

`migration/vmstate.c: vmstate_load_state`; `migration/savevm.c: check_section_footer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.convert.fields import compared, left_out
from migratable.convert.model import EditClass
from migratable.convert.proposals.proposal import Proposal
from migratable.convert.situation import Answer, NoWay, Situation
from migratable.problem_facts import LayoutFacts
from migratable.stream.fields import decode

_MOST_LEFT_OUT = 8


def propose(situation: Situation) -> Iterator[Answer]:
    """All fields that the destination does not have."""
    section, tables = situation.section, situation.destination.tables
    if section is None or tables is None:
        return
    handler = next((handler for handler in tables.handlers if handler.idstr == section.idstr), None)
    if section.description is None or section.description.opaque:
        yield NoWay(reason="the stream does not describe the section (no vmdesc)")
        return
    if handler is None or handler.vmsd is None:
        return
    extra, missing = compared(decode(section), tables.vmsds[handler.vmsd], tables)
    too_much = sum(one.field.size for one in extra)
    facts = situation.finding.facts
    if missing or not isinstance(facts, LayoutFacts) or too_much != facts.size - facts.consumed:
        what = f"has {', '.join(missing[:4])} besides" if missing else "has every field of it"
        yield NoWay(
            reason=f"no field that the destination lacks explains the difference: it {what}. The "
            "machines differ (numbers of CPUs, ports, slots), or the format does"
        )
        return
    if len(extra) > _MOST_LEFT_OUT:
        yield NoWay(reason=f"the destination lacks {len(extra)} fields: it is another format")
        return
    edits = [left_out(situation, section, one, PROPOSAL.kind) for one in extra]
    # From the end, so that offsets stay.
    edits.sort(key=lambda edit: -(edit.changes[0].offset or 0))
    if any(edit.edit_class is EditClass.LOSSY for edit in edits):
        risk = next(edit.risk for edit in edits if edit.risk)
        edits = [
            replace(edit, edit_class=EditClass.LOSSY, risk=edit.risk or risk) for edit in edits
        ]
    yield tuple(edits)


PROPOSAL = Proposal(kind="section-layout", rules=("section-footer",), propose=propose)
