"""The queues of a virtio device differ from the destination's.

## What it checks

* the number of queues against what any device can have;
* from 11.0 on the size of each queue against what the destination has allocated for it.

## Why QEMU refuses

From 11.0 on a queue must not be larger than the destination's own (`VQ 0 vring.num 1024 exceeds
allocated max 8`). Debian's QEMU 10.0.13 starts *every* virtqueue with 1024 entries, whatever the
device requests. So 11.1 refuses all its freshly started guests with a virtio device, if the command
line is the same. The fault is in that source; 11.1 only detects it.

## How to fix it

A guest whose driver has set up all queues, or that came to 10.0 from an older release, has other
sizes. Otherwise the destination must allocate at least as much (`queue-size=`, if the device has
it). `migratable convert` rewrites a saved guest whose queues are not in use.

## Source

`hw/virtio/virtio.c: virtio_load`; 4.1 to 10.2. The size check of 11.1 was measured: 11.1 source not
available.
"""

from __future__ import annotations

from collections.abc import Iterator
from errno import EPERM

from migratable.check.events import VirtioQueues
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.facts.behaviour import behaves
from migratable.messages import Fault
from migratable.problem_facts import QueueFacts
from migratable.profile.tables import VirtioLive
from migratable.verdict import Severity

_MOST_QUEUES = 1024


def check(event: VirtioQueues) -> Iterator[Problem]:
    """Number of queues, then their sizes."""
    if event.count > _MOST_QUEUES:
        yield Problem(
            rule=RULE.id,
            summary=f"{event.idstr!r} has {event.count} queues in the stream",
            words=(("virtio-queue-count", {"count": event.count}),),
            errno=EPERM,
        )
        return
    if not behaves(event.release, "virtio-queue-sizes"):
        return
    for number, (size, _, _) in enumerate(event.queues):
        allocated = event.live.queues[number][1] if number < len(event.live.queues) else 0
        if size > allocated:
            yield Problem(
                rule=RULE.id,
                summary=f"queue {number} of {event.idstr!r} has {size} entries, the destination "
                f"has allocated {allocated}",
                explanation="QEMU 10.0 starts virtqueues with 1024 entries, whatever the "
                "device requests; 11.x checks."
                if size == _MOST_QUEUES
                else "",
                words=(
                    (
                        "virtio-queue-size",
                        {"queue": number, "size": size, "maximum": allocated},
                    ),
                ),
                errno=EPERM,
                facts=QueueFacts(size=size),
            )
            return


def _point(size: int) -> VirtioQueues:
    return VirtioQueues(
        release=(11, 1),
        idstr="0000:00:02.0/virtio-rng",
        live=VirtioLive(host_features=0, queues=((8, 8),)),
        queues=((size, 0, 0),),
        count=1,
    )


RULE = Rule(
    id="virtio-queues",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "{loading: |Give the device the same number and size of queues {moving: on both sides} "
        "(queue-size=, num-queues=, mq=).}"
    ),
    prevent="Write queue numbers and sizes into the VM's definition.",
    verify="check",
    events=(VirtioQueues,),
    check=check,
    examples=(refuses(_point(1024), "allocated 8"), loads(_point(8))),
)
