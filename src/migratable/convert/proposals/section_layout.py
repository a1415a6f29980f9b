"""The edit removes fields that the destination's tables do not have, in a section of equal version.

## What is changed

If the destination reads fewer bytes of a section than the source wrote, the edit removes the fields
that the destination's description does not have, also inside structures.

## Why it is safe

As for {doc}`newer-version`: the edit is *equivalent* if each removed field has the value that the
older program assumes, or the default that a machine sends at power-on. QEMU itself treats the two
as equal: a newer program that loads an older stream leaves such a field at that default. Otherwise
the edit is *lossy*.

The edit does not change arrays whose number of elements depends on the machine (CPUs, ports,
slots): there the machines differ, not the programs.

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
    # From the end, so that the other offsets stay valid.
    edits.sort(key=lambda edit: -(edit.changes[0].offset or 0))
    if any(edit.edit_class is EditClass.LOSSY for edit in edits):
        risk = next(edit.risk for edit in edits if edit.risk)
        edits = [
            replace(edit, edit_class=EditClass.LOSSY, risk=edit.risk or risk) for edit in edits
        ]
    yield tuple(edits)


PROPOSAL = Proposal(kind="section-layout", rules=("section-footer",), propose=propose)
