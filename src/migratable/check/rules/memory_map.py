"""The guest's memory is at other addresses on the destination (PC).

## What it checks

How much memory is below 4 GiB and how much above, as the clock chip's CMOS has it in the stream and
on the destination. `-m` may be equal: `-machine max-ram-below-4g=` and old machine types split it
at another address.

## Why QEMU loads it all the same

The loader compares the size of the block `pc.ram`, not its addresses. A booted guest then finds no
memory at the addresses of its pages, and crashes. Devices that were in use may refuse: AHCI prints
`Failed to start FIS receive engine: bad FIS receive buffer address`.

## How to fix it

Give the destination the source's `-machine max-ram-below-4g=`, or none if the source has none.

## Source

`hw/i386/pc.c: pc_cmos_init`, `hw/i386/pc_piix.c`, `hw/i386/pc_q35.c: pc_q35_init`; 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices.pc_memory import PcMemory, of_profile, pc_memory, rings_agree
from migratable.check.events import StreamLoaded
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.facts.behaviour import behaves
from migratable.messages import Fault
from migratable.profile.model import Profile
from migratable.releases import QemuVersion
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind
from migratable.verdict import Severity

_MIB = 1 << 20


def check(event: StreamLoaded) -> Iterator[Problem]:
    """Both parts are equal, where there is as much memory on both sides."""
    there, here = pc_memory(event.sections), of_profile(event.profile)
    if there is None or here is None or not there.below or not here.below:
        return
    if there == here or there.below + there.above != here.below + here.above:
        return  # less or more of it is another rule's, by the RAM block's size
    yield Problem(
        rule=RULE.id,
        refuses=False,
        severity=Severity.ENDANGERS,
        summary=f"the guest has {_words(there)}, the destination {_words(here)}",
        explanation="A booted guest finds no memory at the addresses of its pages. "
        "Use the source's -machine max-ram-below-4g=.",
        device="mc146818rtc",
        unexamined=tuple(_unexamined(event, there, here)),
    )


def _unexamined(event: StreamLoaded, there: PcMemory, here: PcMemory) -> Iterator[str]:
    """Devices that look into guest memory while they are loaded.

    virtio_load may refuse by what stands where a ring was (``virtio-rings-are-read``). AHCI's
    buffers are judged by its hook, unless an IOMMU may translate their addresses.
    """
    translated = any("iommu" in name.lower() for name in event.handlers)
    for section in event.sections:
        virtio = "/virtio-" in section.idstr and behaves(event.release, "virtio-rings-are-read")
        if virtio and not rings_agree(section, there, here):
            yield f"{section.idstr}: its vrings: guest RAM has other addresses on the destination"
        elif section.idstr.endswith("ahci") and translated:
            yield f"{section.idstr}: its buffers: guest RAM has other addresses on the destination"


def _words(memory: PcMemory) -> str:
    return f"{memory.below // _MIB} MiB below 4 GiB and {memory.above // _MIB} MiB above"


def _clock(below: int, above: int) -> Section:
    cmos = bytearray(160)
    cmos[0x34:0x36] = ((below * _MIB - (16 << 20)) >> 16).to_bytes(2, "little")
    cmos[0x5B:0x5E] = (above * _MIB >> 16).to_bytes(3, "little")
    return Section(
        kind=SectionKind.FULL,
        section_id=3,
        idstr="mc146818rtc",
        instance_id=0,
        version_id=3,
        body=bytes(cmos),
    )


def _point(below: int, above: int) -> StreamLoaded:
    from migratable.stream import write  # noqa: PLC0415 -- an example
    from migratable.stream.edit import make_stream  # noqa: PLC0415 -- an example

    own = write(make_stream("pc-q35-10.0", [_clock(256, 0)]))
    return StreamLoaded(
        release=(10, 0),
        profile=Profile(
            version=QemuVersion(10, 0), machine="pc-q35-10.0", target="x86_64", stream=own
        ),
        sections=[_clock(below, above)],
    )


RULE = Rule(
    id="memory-map",
    severity=Severity.ENDANGERS,
    side=Fault.DESTINATION,
    now=(
        "Give {moving: the destination|the guest} {the source's} -machine max-ram-below-4g=, or "
        "none if {the source} has none."
    ),
    prevent="Write max-ram-below-4g into the VM's definition when a host uses it; use versioned "
    "machine types.",
    verify="check",
    reads_on=True,
    events=(StreamLoaded,),
    check=check,
    examples=(
        refuses(_point(128, 128), "128 MiB below 4 GiB and 128 MiB above, the destination 256"),
        loads(_point(256, 0)),
        loads(_point(128, 0)),
    ),
)
