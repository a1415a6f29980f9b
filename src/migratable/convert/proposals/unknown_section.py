"""The edit removes a section that the destination does not know.

## What is changed

The edit removes the whole section.

## Why it may not be safe

The destination has no such device, and the guest's driver loses it. So the edit is *lossy*, and
made only if you accept it by its id. It is right for a device that the guest does not
see or no longer uses.

It is *lossless* if the section contains no state of the guest: `slirp` (user network) with the same
contents as at power-on, `kvm-tpr-opt` that has not replaced any of the guest's instructions,
`kvmclock` that no processor has requested.

## Source

`migration/savevm.c: qemu_loadvm_section_start_full`; `net/slirp.c`, `hw/i386/vapic.c`,
`hw/i386/kvm/clock.c`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.convert import make
from migratable.convert.assumed import unused_section
from migratable.convert.model import EditClass
from migratable.convert.proposals.proposal import Proposal
from migratable.convert.situation import Answer, NoWay, Situation


def propose(situation: Situation) -> Iterator[Answer]:
    """Leave it out."""
    section = situation.section
    if section is None:
        return
    if not make.whole(section):
        yield NoWay(
            reason=f"{section.idstr!r} comes in several parts among guest memory; they are not "
            "taken apart"
        )
        return
    edit = make.drop_section(situation.stream, section, PROPOSAL.kind, EditClass.LOSSY)
    edit = replace(edit, summary=f"section left out ({len(section.body)} bytes)")
    why = unused_section(section, situation)
    if why:
        yield (replace(edit, edit_class=EditClass.LOSSLESS, why=why),)
        return
    yield (
        replace(
            edit,
            why="the destination has no device of that name and instance",
            risk=f"the guest's {section.idstr.rpartition('/')[2]} is gone after the load, with all "
            "that it held; a driver that uses it fails",
        ),
    )


PROPOSAL = Proposal(kind="unknown-section", rules=("unknown-section",), propose=propose)
