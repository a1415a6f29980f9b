"""A virtqueue that the guest never set up gets the destination's size.

## What is changed

`vring.num` of each queue that is larger than what the destination has allocated, and that has no
address, no index and, on modern PCI, is not enabled and has no size chosen by the driver. It
becomes the size that the destination itself starts the queue with.

## Why it is safe

The number is the device's offer to a driver that has not started. When the driver starts, it resets
the device and reads the size that the destination offers, as at every power-on there.

A queue that the driver has set up with that size cannot be made smaller: its rings are in guest
memory, and both sides count in them.

## Source

`hw/virtio/virtio.c: virtio_load, virtio_queue_get_num`, `hw/virtio/virtio-pci.c:
virtio_pci_common_write`; 4.1 to 10.2. The destination's limit: 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from migratable.convert import make
from migratable.convert.model import Change, EditClass
from migratable.convert.proposals.proposal import Proposal
from migratable.convert.situation import Answer, NoWay, Situation
from migratable.stream.non_vmstate import virtio_of
from migratable.stream.virtio import Queue, Virtio

_MODERN = 28
"""Bytes of a queue in ``virtio_pci/modern_state``: u16 num, u8 unused, bool enabled, addresses."""


def propose(situation: Situation) -> Iterator[Answer]:
    """One edit for all queues of the device."""
    section, tables = situation.section, situation.destination.tables
    live = None if tables is None or section is None else tables.virtio.get(section.idstr)
    blob = None if section is None else virtio_of(section)
    if section is None or live is None or blob is None:
        yield NoWay(reason="the virtio device cannot be read, or the destination lacks it")
        return
    vq = blob.body.field("vq")
    if vq is None or blob.body.offset is None:
        return
    base = section.body_offset or 0
    modern = _modern(blob)
    changes: list[Change] = []
    numbers: list[str] = []
    for number, (body, queue) in enumerate(zip(vq.children, blob.queues, strict=True)):
        own, most = live.queues[number] if number < len(live.queues) else (0, 0)
        if queue.num <= most:
            continue
        if in_use := _in_use(queue, modern, number):
            yield NoWay(
                reason=f"queue {number} of {section.idstr!r} is in use with {queue.num} entries "
                f"({in_use}), the destination has {most}: its rings are in guest memory and cannot "
                "be made smaller. Unload the guest's driver (or unplug the device) while it moves"
            )
            return
        if not own:
            yield NoWay(
                reason=f"the destination's {section.idstr!r} has no queue {number}: it has fewer"
            )
            return
        field, desc, last = (body.field(one) for one in ("num", "desc", "last_avail_idx"))
        assert field is not None
        assert desc is not None
        assert last is not None
        changes.append(
            Change(
                old=queue.num.to_bytes(4, "big"),
                new=own.to_bytes(4, "big"),
                offset=field.offset - base,
                name=f"vq[{number}].vring.num",
            )
        )
        changes += [
            Change(
                old=bytes(one.size), new=bytes(one.size), offset=one.offset - base, name=one.name
            )
            for one in (desc, last)
        ]
        numbers.append(f"{number} ({queue.num} → {own})")
    if not changes:
        return
    edit = make.edit(
        section, PROPOSAL.kind, EditClass.LOSSLESS, changes=tuple(changes), path=("virtio", "vq")
    )
    yield (
        replace(
            edit,
            id=f"{PROPOSAL.kind}:{section.idstr}",
            summary=f"size of virtqueue {', '.join(numbers)}",
            why="the guest has not set these queues up; a driver that comes resets the device and "
            "reads the size that the destination offers",
        ),
    )


def _modern(blob: Virtio) -> bytes:
    """The queues as the modern PCI transport has them; empty on others."""
    for sub in blob.body.all_subsections():
        if sub.name == "virtio_pci/modern_state":
            value = sub.value("vqs")
            if isinstance(value, memoryview):
                return bytes(value)
    return b""


def _in_use(queue: Queue, modern: bytes, number: int) -> str:
    """What shows that the driver has set the queue up, or begins to; empty when nothing does."""
    if queue.desc:
        return f"descriptors at {queue.desc:#x}"
    if queue.last_avail_idx or queue.avail or queue.used:
        return "its indices or rings are set"
    state = modern[_MODERN * number : _MODERN * (number + 1)]
    if any(state):
        return "the driver has begun to set it up"
    return ""


PROPOSAL = Proposal(kind="virtio-queue-size", rules=("virtio-queues",), propose=propose)
