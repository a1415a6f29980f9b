"""virtio-net: hw/net/virtio-net.c."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import has_fixes_of_2026, post_load, pre_load, prepares
from migratable.check.events import BodyEntered, BodyLoaded
from migratable.check.problem import Problem, UnexaminedError
from migratable.check.state import LoadedState, Memory
from migratable.profile.model import Profile

_RSS_MAX_TABLE_LEN = 128


def _pairs(body: LoadedState | None, which: str) -> int | None:
    """Queue pairs of a device's body; the names are of 6.1 and later, and of before."""
    if body is None:
        return None
    for name in (f"{which}_queue_pairs", f"{which}_queues"):
        found = body.number(name)
        if found is not None:
            return found
    return 1  # a device with one pair does not send them


@prepares("virtio-net-tx_waiting")
def tx_waiting(body: LoadedState, memory: Memory, _profile: Profile) -> None:
    """virtio_net_tx_waiting_pre_save: the second pair's flag and on, those that are in use."""
    current = _pairs(body.parent, "curr")
    for item in body.vmsd.fields:
        if item.counter is not None and current is not None:
            offset, width = item.counter
            memory.set(body.opaque + offset, width, max(current, 1) - 1)


@pre_load("virtio-net-tx_waiting")
def queues_in_use(event: BodyEntered) -> Iterator[Problem]:
    """virtio_net_tx_waiting_pre_load: no more pairs in use than there are."""
    device = event.body.parent
    current = _pairs(device, "curr")
    most = _pairs(device, "max")
    if current is not None and most is not None and current > most:
        yield Problem(
            rule="virtio-queues",
            summary=f"the guest uses {current} queue pairs, the destination's NIC has {most}",
            words=(("virtio-net-queues", {"current": current, "maximum": most}),),
            of_backend=True,
        )


@post_load("virtio-net-vnet")
def vnet_header(event: BodyLoaded) -> Iterator[Problem]:
    """virtio_net_vnet_post_load: packets carry a header, or the backend cannot take them."""
    words = "the source's network backend had vnet_hdr, the destination's does not"
    yield from _lacking(event, "has_vnet_hdr", words, "virtio-vnet-header")


@post_load("virtio-net-ufo")
def ufo(event: BodyLoaded) -> Iterator[Problem]:
    """virtio_net_ufo_post_load: the backend fragments UDP packets for the guest, or not."""
    words = "the source's network backend fragments UDP (TUN_F_UFO), the destination's does not"
    yield from _lacking(event, "has_ufo", words, "virtio-net-ufo")


def _lacking(event: BodyLoaded, field: str, summary: str, message: str) -> Iterator[Problem]:
    """What the guest uses of its backend and the destination's lacks."""
    if event.body.number(field) and event.body.owned(field) == 0:
        yield Problem(
            rule="virtio-vnet-header",
            summary=summary,
            words=((message, {}),),
            field=field,
            of_backend=True,
        )


@post_load("virtio-net-device/rss", since=(10, 0))
def rss(event: BodyLoaded) -> Iterator[Problem]:
    """virtio_net_rss_post_load: the table's length is a power of two and not over 128."""
    length = event.body.number("rss_data.indirections_len")
    if length is None or not has_fixes_of_2026(event):
        return
    if length == 0 or length & (length - 1) or length > _RSS_MAX_TABLE_LEN:
        yield Problem(
            rule="virtio-queues",
            summary=f"the NIC's RSS table has {length} entries; 1, 2, 4 ... 128 are possible",
            words=(("virtio-net-rss", {"length": length}),),
            field="rss_data.indirections_len",
        )


@post_load("virtio-net-device")
def queue_pairs(event: BodyLoaded) -> Iterator[Problem]:
    """virtio_net_post_load_device attaches as many queue pairs, and asserts that it can."""
    for name in ("curr_queue_pairs", "curr_queues"):
        if event.body.number(name) == 0:
            raise UnexaminedError("virtio-net: none of its queue pairs is in use")
    yield from ()
