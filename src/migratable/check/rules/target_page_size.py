"""The guest's pages have another size than the destination's.

## What it checks

`configuration/target-page-bits` of the stream, which machines with pages of varying size (Arm)
send, against the destination's own. A stream without it is taken for one with the smallest pages
that the target can have (Arm: 1 KiB).

## Why QEMU refuses

RAM is sent by target page, and page addresses depend on the page size.

## How to fix it

Use the source's machine type and CPU on the destination; they set the size.

## Source

`migration/savevm.c: configuration_post_load, vmstate_target_page_bits`; 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.check.events import ConfigurationRead
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.stream.model import Configuration, ConfigurationSubsection
from migratable.verdict import Severity

#: ``qemu_target_page_bits_min`` of the one audited target whose pages vary
#: (target/arm/cpu-param.h: TARGET_PAGE_BITS_MIN; 5.2 to 11.1).
_LEAST = 10


def check(event: ConfigurationRead) -> Iterator[Problem]:
    """Bits that came, or the least that the target can have, against the destination's."""
    if event.configuration is None:
        return
    received = event.configuration.target_page_bits
    if received is None and event.sends_page_bits:
        received = _LEAST  # configuration_pre_load
    if received is not None and event.page_bits is not None and received != event.page_bits:
        yield Problem(
            rule=RULE.id,
            summary=f"the guest's pages have {1 << received} bytes, the destination's "
            f"{1 << event.page_bits}",
            words=(("target-page-size", {"received": received, "local": event.page_bits}),),
        )


_BITS = ConfigurationSubsection(
    name="configuration/target-page-bits", version=1, body=b"\0\0\0\x10"
)
_SILENT = Configuration(machine="virt-10.0")
_POINT = ConfigurationRead(
    release=(10, 0),
    configuration=Configuration(machine="virt-10.0", subsections=(_BITS,)),
    machine="virt-10.0",
    page_bits=12,
)
RULE = Rule(
    id="target-page-size",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Start {moving: the destination|the guest} with the machine type and CPU of {the source}; "
        "they set the target's page size."
    ),
    prevent="Use versioned machine types; on Arm the page size goes with them.",
    verify="check",
    events=(ConfigurationRead,),
    check=check,
    examples=(
        refuses(_POINT, "65536"),
        refuses(replace(_POINT, configuration=_SILENT, sends_page_bits=True), "pages have 1024"),
        loads(replace(_POINT, configuration=_SILENT)),
        loads(replace(_POINT, configuration=_SILENT, sends_page_bits=True, page_bits=10)),
        loads(replace(_POINT, configuration=None, sends_page_bits=True)),
    ),
)
