"""hw/hyperv/vmbus.c: VMBus, which needs KVM's synthetic interrupt controller."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem, UnexaminedError

_NO_PROCESSOR = 0xFFFF_FFFF


@post_load("vmbus")
def vmbus(at: BodyLoaded) -> Iterator[Problem]:
    """vmbus_post_load: an interrupt of the kernel's, then each open channel's rings again.

    :raise UnexaminedError: for a guest that has connected to it.
    """
    if at.body.number("target_vp") != _NO_PROCESSOR:
        raise UnexaminedError("whether KVM and the guest's memory allow VMBus to reconnect")
    yield from ()
