"""The guest's driver uses virtio features that the destination does not offer.

## What it checks

The feature bits that the guest's driver has acknowledged against those that the destination's
device offers.

## Why QEMU refuses

The driver relies on these features; a device without them would corrupt its data. A guest
that has not started its driver has acknowledged none, so the same pair may load before the boot and
be refused after it.

## How to fix it

Give the destination the features: device options, the network backend (`vnet_hdr`, vhost), the
host's kernel (USO needs Linux 6.2). Else turn them off on the source and restart the guest's
driver.

## Source

`hw/virtio/virtio.c: virtio_load, virtio_set_features_nocheck`; 4.1 to 11.1. From 10.2 on the line
shows the guest's bits *after* masking, so the missing bit is not shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from errno import EPERM

from migratable.check.events import VirtioLoaded
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.facts import virtio as virtio_facts
from migratable.facts.behaviour import behaves
from migratable.messages import Fault
from migratable.problem_facts import VirtioFeaturesFacts
from migratable.profile.tables import VirtioLive
from migratable.verdict import Severity


def check(event: VirtioLoaded) -> Iterator[Problem]:
    """Acknowledged bits are a part of the offered ones."""
    missing = event.features & ~event.live.host_features
    if not missing:
        return
    kind = event.idstr.rpartition("/")[2]
    names = ", ".join(virtio_facts.names(kind, missing))
    masked = behaves(event.release, "virtio-features-masked")
    shown = event.features & event.live.host_features if masked else event.features
    yield Problem(
        rule=RULE.id,
        summary=f"the guest's driver uses features that {event.idstr!r} does not offer: {names}",
        words=(("virtio-features", {"features": shown, "allowed": event.live.host_features}),),
        errno=EPERM,
        field="guest_features",
        of_backend=True,
        facts=VirtioFeaturesFacts(kind=kind, missing=missing, names=names),
    )


def _point(features: int) -> VirtioLoaded:
    return VirtioLoaded(
        release=(10, 0),
        idstr="0000:00:01.0/virtio-blk",
        live=VirtioLive(host_features=0x179000E54, queues=((256, 256),)),
        features=features,
        wide=True,
    )


RULE = Rule(
    id="virtio-features",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Give {moving: the destination|the guest} the features that the guest's driver has "
        "accepted (kernel, vhost backend, device options), or stop and start the guest (a reboot "
        "from inside is not enough when the device keeps offering them) with these features off."
    ),
    prevent="Turn the features off in the VM's definition that not all hosts can offer (for a "
    "NIC: host_uso=off,guest_uso4=off,guest_uso6=off and so on), or use a machine type that does.",
    verify="check",
    events=(VirtioLoaded,),
    check=check,
    examples=(refuses(_point(1 << 13 | 1 << 32), "discard"), loads(_point(1 << 32))),
)
