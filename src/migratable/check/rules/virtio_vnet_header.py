"""A virtio NIC's backend lacks a feature that the guest's driver uses.

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

from migratable.check.events import BodyLoaded
from migratable.check.example import body_loaded, loading
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.verdict import Severity


def _point(*, sent: int, here: int) -> BodyLoaded:
    values, own = ({"has_vnet_hdr": one} for one in (sent, here))
    body = loading("virtio-net-vnet", values, version=0, own=own)
    return body_loaded(body, "0000:00:03.0/virtio-net")


RULE = Rule(
    id="virtio-vnet-header",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Connect the NIC on {the destination} to a backend with the features of {the source's} "
        "backend (a tap with vnet_hdr, UFO)."
    ),
    prevent="Use the same kind of network backend on all hosts.",
    verify="check",
    examples=(refuses(_point(sent=1, here=0), "vnet_hdr"), loads(_point(sent=1, here=1))),
)
