"""A PCI device's configuration space differs where it must not.

## What it checks

Every byte of the configuration space: bits that the destination compares (`cmask`) and that the
guest cannot have written (`wmask`, `w1cmask`).

## Why QEMU refuses

Those bits are the device as its driver knows it: vendor and device number, class, sizes of BARs,
capabilities and their places, the size of the MSI-X table. A driver that has read them must find
the same after the move.

## How to fix it

The register says what differs: device number and BARs (another device, another size of its
configuration), `disable-legacy`/`disable-modern` of virtio, the number of vectors
(`vectors=`, `num-queues=`), PCIe capabilities (`x-pcie-...` properties that machine types set).

## Source

`hw/pci/pci.c: get_pci_config_device`; 4.1 to 11.1. The line shows the first byte that differs.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import PciConfigRead
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.problem_facts import PciConfigFacts
from migratable.profile.tables import PciMasks
from migratable.verdict import Severity


def check(event: PciConfigRead) -> Iterator[Problem]:
    """The first byte that differs under the masks; all of them in the explanation."""
    masks = event.masks
    count = min(len(event.config), len(masks.config))
    sent = int.from_bytes(event.config[:count], "little")
    local = int.from_bytes(masks.config[:count], "little")
    difference = (sent ^ local) & masks.compared(count)
    if not difference:
        return
    from migratable.check.pci import place, register  # noqa: PLC0415 -- for names in refusals
    from migratable.facts import pci  # noqa: PLC0415

    bytes_ = [i for i in range(count) if difference >> 8 * i & 0xFF]
    first = bytes_[0]
    names = list(dict.fromkeys(register(masks.config, i) for i in bytes_))
    said = [
        pci.meaning(found, event.config[i], masks.config[i])
        for i in bytes_
        if (found := place(masks.config, i)) is not None
    ]
    yield Problem(
        rule=RULE.id,
        summary=f"{names[0]} of {event.idstr!r} is {event.config[first]:#x} in the stream and "
        f"{masks.config[first]:#x} on the destination (byte {first:#x})",
        explanation="Differs in: "
        + ", ".join(names[:8])
        + ". "
        + "".join(
            f"{text[:1].upper()}{text[1:]}. " for text in dict.fromkeys(said) if text
        ).strip(),
        words=(
            (
                "pci-config",
                {
                    "offset": first,
                    "read": event.config[first],
                    "local": masks.config[first],
                    "cmask": masks.cmask[first],
                    "wmask": masks.wmask[first],
                    "w1cmask": masks.w1cmask[first],
                },
            ),
        ),
        field="config",
        facts=PciConfigFacts(offsets=tuple(bytes_)),
    )


def _point(device: int) -> PciConfigRead:
    local = bytes.fromhex("f41a4210") + bytes(252)
    sent = bytes.fromhex("f41a") + bytes([device, 0x10]) + bytes(252)
    masks = PciMasks(
        config=local, cmask=b"\xff" * 4 + bytes(252), wmask=bytes(256), w1cmask=bytes(256)
    )
    return PciConfigRead(release=(10, 0), idstr="0000:00:01.0/virtio-blk", config=sent, masks=masks)


RULE = Rule(
    id="pci-config",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now=(
        "{loading: |Compare the device's properties and machine type {moving: on both sides};} the "
        "register names the difference."
    ),
    prevent="Use one definition of the VM with a versioned machine type; test the pair of "
    "releases.",
    verify="check",
    events=(PciConfigRead,),
    check=check,
    examples=(refuses(_point(1), "Device ID"), loads(_point(0x42))),
)
