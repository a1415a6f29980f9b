"""A virtio NIC's backend lacks what the guest's driver uses.

## What it checks

Whether the guest uses headers (`vnet_hdr`) or UFO, which the destination's network backend must
have.

## Why QEMU refuses

Packets with such headers could not be passed on.

## How to fix it

Connect the NIC to a backend of the source's kind (a tap with `vnet_hdr`).

## Source

`hw/net/virtio-net.c: virtio_net_tx_waiting_pre_load, virtio_net_has_vnet_post_load,
virtio_net_ufo_post_load`; 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.hooks import judged
from migratable.check.objects import Loading
from migratable.check.points import BodyEntered, BodyLoaded
from migratable.check.rule import Rule, loads, refuses
from migratable.check.trouble import Problem
from migratable.profile.loader import Vmsd
from migratable.profile.model import Profile
from migratable.terms import QemuVersion
from migratable.verdict import Severity


def check(at: BodyEntered | BodyLoaded) -> Iterator[Problem]:
    """What the modules of :mod:`migratable.check.devices` say that is of this rule."""
    yield from (problem for problem in judged(at) if problem.rule == RULE.id)


def _point(*, sent: int, here: int) -> BodyLoaded:
    def body(value: int, own: Loading | None = None) -> Loading:
        return Loading(
            index=0,
            vmsd=Vmsd(name="virtio-net-vnet", version=0, minimum=0),
            opaque=0,
            version=0,
            values={"has_vnet_hdr": value},
            own=own,
        )

    return BodyLoaded(
        release=(10, 0),
        body=body(sent, body(here)),
        idstr="0000:00:03.0/virtio-net",
        instance_id=0,
        profile=Profile(version=QemuVersion(10, 0, 13), machine="pc-q35-10.0", target="x86_64"),
    )


RULE = Rule(
    id="virtio-vnet-header",
    severity=Severity.REFUSES,
    at=(BodyEntered, BodyLoaded),
    check=check,
    examples=(refuses(_point(sent=1, here=0), "vnet_hdr"), loads(_point(sent=1, here=1))),
)
