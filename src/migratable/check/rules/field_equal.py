"""A field that must be equal on both sides differs.

## What it checks

Fields of the types `... equal` (equal to the destination's own value) and `int32 le` (not larger).

## Why QEMU refuses

They are properties of the machine rather than state: the number of interrupts of a PCI bus, of
timers, of tables. QEMU prints the two numbers in hexadecimal, the destination's first
(`8 != 4`), and nothing else until the lines that name field and device.

## How to fix it

Find the setting that the field stands for and make it equal.

## Source

`migration/vmstate-types.c: get_int32_equal, get_uint8_equal, get_uint16_equal, get_uint32_equal,
get_uint64_equal, get_int32_le`; 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import ValueRead
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.profile.tables import VmField, Vmsd
from migratable.verdict import Severity


def check(event: ValueRead) -> Iterator[Problem]:
    """Equal, or for `int32 le` between 0 and the local value."""
    local = event.local
    if local is None:
        return
    name = f"{event.vmsd.name}:{event.field.name}"
    if event.field.info == "int32 le":
        value, most = _signed(event.value, event.width), _signed(local, event.width)
        if not 0 <= value <= most:
            yield Problem(
                rule=RULE.id,
                summary=f"{name} is {value}, the destination takes 0 to {most}",
                words=(("field-int32-le", {"value": value, "maximum": most}),),
                field=event.field.name,
            )
    elif event.value != local:
        words: list[tuple[str, dict[str, str | int]]] = [
            ("field-equal", {"local": local, "received": event.value})
        ]
        yield Problem(
            rule=RULE.id,
            summary=f"{name} is {event.value:#x} in the stream and {local:#x} on the destination",
            explanation=event.field.err_hint,
            words=tuple(words),
            field=event.field.name,
        )


def _signed(value: int, width: int) -> int:
    return value - (1 << 8 * width) if value >> (8 * width - 1) else value


_BUS = Vmsd(name="PCIBUS", version=1, minimum=1)
_NIRQ = VmField(name="nirq", info="int32 equal")
RULE = Rule(
    id="field-equal",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "{loading: |Find the setting that the field stands for (the line after it names device and "
        "field) and make it equal {moving: on both sides}.}"
    ),
    prevent="{moving: Use one definition of the VM for both sides.}",
    verify="check",
    events=(ValueRead,),
    check=check,
    examples=(
        refuses(ValueRead(release=(10, 0), vmsd=_BUS, field=_NIRQ, value=4, local=8), "nirq"),
        loads(ValueRead(release=(10, 0), vmsd=_BUS, field=_NIRQ, value=4, local=4)),
    ),
)
