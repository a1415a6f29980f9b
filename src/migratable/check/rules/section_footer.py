"""The destination reads fewer or more bytes of a section than the source wrote.

## What it checks

After each section: the footer byte and the section's number after it, at the place where the
destination's tables end. Also whether both sides have footers
(`migration.send-section-footer`, off with machine types up to 2.3): a destination that expects none
reads the first one as a section of type 126.

## Why QEMU refuses

Nothing in the stream says how long a section is. When the tables of the two sides differ (another
number of CPUs, ports or queues; a field that one release has and the other has not), the
destination looks for the footer in the wrong place. `Missing section footer for X` therefore means:
the layout of X differs.

## How to fix it

Make the options that decide the layout equal; if possible, the finding names the field that
differs. If the command lines are equal, the two releases disagree, and one of them needs a fix.

## Source

`migration/savevm.c: check_section_footer`; 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.check.events import FooterRead
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.problem_facts import LayoutFacts
from migratable.stream.wire_format import SECTION_FOOTER
from migratable.verdict import Severity


def check(event: FooterRead) -> Iterator[Problem]:
    """The byte is a footer's and the number this section's."""
    difference = event.size - event.consumed
    what = f"the destination reads {event.consumed} of {event.size} bytes of {event.idstr!r}"
    explanation = event.detail or _left(difference)
    if not event.wanted:
        yield Problem(
            rule=RULE.id,
            summary="the stream has footers after its sections, and the destination expects none",
            explanation="migration.send-section-footer is off on the destination alone.",
            words=(("unknown-section-type", {"type": SECTION_FOOTER}),),
        )
    elif event.mark is None:
        yield Problem(
            rule="stream-broken",
            summary=f"the stream ends after {event.idstr!r}",
            words=(("footer-read-failed", {"errno": -5}),),
        )
    elif event.mark != SECTION_FOOTER:
        yield Problem(
            rule=RULE.id,
            summary=what,
            explanation=explanation,
            facts=LayoutFacts(size=event.size, consumed=event.consumed),
            words=(("footer-missing", {"device": event.idstr}),),
        )
    elif event.read_id != event.section_id:
        yield Problem(
            rule=RULE.id,
            summary=what,
            explanation=explanation,
            facts=LayoutFacts(size=event.size, consumed=event.consumed),
            words=(
                (
                    "footer-mismatch",
                    {
                        "device": event.idstr,
                        "read": event.read_id or 0,
                        "expected": event.section_id,
                    },
                ),
            ),
        )


def _left(difference: int) -> str:
    if difference > 0:
        return f"{difference} bytes are left over."
    return f"{-difference} are missing." if difference else "The footer is another section's."


_POINT = FooterRead(
    release=(10, 0), idstr="spapr-xive", section_id=9, mark=0, read_id=0, consumed=8, size=12
)
RULE = Rule(
    id="section-footer",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now=(
        "{loading: |Compare the definition of the named device {moving: on both sides} (number of "
        "CPUs, queues, ports); if it is equal, the two programs disagree about the format: find "
        "the fault for this pair of releases.}"
    ),
    prevent="Test the pair of releases with the machine type and devices in use before rolling it "
    "out.",
    verify="check",
    events=(FooterRead,),
    check=check,
    examples=(
        refuses(_POINT, "8 of 12"),
        refuses(replace(_POINT, wanted=False), "expects none"),
        loads(
            FooterRead(
                release=(10, 0),
                idstr="timer",
                section_id=9,
                mark=SECTION_FOOTER,
                read_id=9,
                consumed=12,
                size=12,
            )
        ),
    ),
)
