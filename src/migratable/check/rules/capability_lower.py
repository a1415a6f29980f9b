"""A pseries guest has a machine capability at a lower level than the destination.

## What it checks

The same comparison as {doc}`capability-higher`, the other way round.

## Why QEMU only warns

The guest was promised less than the destination has. It goes on as before.

## How to fix it

Nothing needs fixing. To be rid of the line, give the destination the source's level.

## Source

`hw/ppc/spapr_caps.c: spapr_caps_post_migration`; 4.0 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.capabilities import differences
from migratable.check.objects import Loading
from migratable.check.points import BodyLoaded
from migratable.check.rule import Rule, loads, refuses
from migratable.check.trouble import Problem
from migratable.profile.loader import Vmsd
from migratable.profile.model import Profile
from migratable.terms import QemuVersion
from migratable.verdict import Severity


def check(at: BodyLoaded) -> Iterator[Problem]:
    """Each capability that is lower, unless others are higher, which print all lines."""
    found = differences(at)
    if any(one.higher for one in found):
        return
    for one in found:
        yield Problem(
            rule=RULE.id,
            refuses=False,
            severity=Severity.WARNS,
            summary=f"cap-{one.name}: the guest has level {one.stream}, the destination "
            f"{one.local}; harmless",
            words=(one.words,),
            subsection=f"spapr/cap/{one.wire}",
        )


def _point(level: int) -> BodyLoaded:
    machine = Loading(index=0, vmsd=Vmsd(name="spapr", version=3, minimum=1), opaque=0, version=3)
    machine.subsections["spapr/cap/cfpc"] = Loading(
        index=1,
        vmsd=Vmsd(name="spapr/cap/cfpc", version=1, minimum=1),
        opaque=0,
        version=1,
        parent=machine,
        values={"mig.caps[SPAPR_CAP_CFPC]": level},
    )
    return BodyLoaded(
        release=(10, 0),
        body=machine,
        idstr="spapr",
        instance_id=0,
        profile=Profile(
            version=QemuVersion(10, 0, 13),
            machine="pseries-5.2",
            target="ppc64",
            cpu_model="power9_v2.0",
            command_line=("qemu-system-ppc64", "-M", "pseries-5.2,cap-cfpc=workaround"),
        ),
    )


RULE = Rule(
    id="capability-lower",
    severity=Severity.WARNS,
    at=(BodyLoaded,),
    check=check,
    examples=(refuses(_point(0), "cap-cfpc"), loads(_point(1)), loads(_point(2))),
)
