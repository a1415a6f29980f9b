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
from migratable.check.points import BodyEntered, BodyLoaded
from migratable.check.rule import Rule
from migratable.check.trouble import Problem
from migratable.verdict import Severity


def check(at: BodyEntered | BodyLoaded) -> Iterator[Problem]:
    """What the modules of :mod:`migratable.check.devices` say that is of this rule."""
    yield from (problem for problem in judged(at) if problem.rule == RULE.id)


RULE = Rule(
    id="virtio-vnet-header", severity=Severity.REFUSES, at=(BodyEntered, BodyLoaded), check=check
)
