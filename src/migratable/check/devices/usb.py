"""USB: hw/usb/redirect.c, hw/usb/hcd-xhci-pci.c.

No hook of the other host controllers, hubs, storage, tablets and card readers fails by what is in
the stream. Not examined: xhci's contexts of addressed slots, in the guest's memory; usbredir's
parser, a library's private format.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import has_fixes_of_2026, post_load, reads
from migratable.check.events import BodyLoaded
from migratable.check.loader import Reading
from migratable.check.problem import Problem
from migratable.facts.behaviour import assertion


@post_load("usb-redir", since=(10, 0))
def usb_redir(event: BodyLoaded) -> Iterator[Problem]:
    """usbredir_post_load: an endpoint that receives in bulk has a packet size."""
    if not has_fixes_of_2026(event):
        return
    for number, endpoint in enumerate(event.body.children.get("endpoint", ())):
        bulk = endpoint.subsections.get("usb-redir-ep/bulk-receiving")
        receives = bulk is not None and bulk.number("bulk_receiving_started")
        if receives and endpoint.number("max_packet_size") == 0:
            yield Problem(
                rule="field-validation",
                summary=f"endpoint {number} receives in bulk with packets of 0 bytes",
                words=(("usbredir-bulk", {"endpoint": number}),),
            )
            return


_MSIX = 0x11


def _vectors(config: bytes) -> int:
    """Size of the MSI-X table, 0 without the capability."""
    offset, seen = config[0x34] & ~3, 0
    while offset and seen < 48:
        if config[offset] == _MSIX:
            return (int.from_bytes(config[offset + 2 : offset + 4], "little") & 0x7FF) + 1
        offset, seen = config[offset + 1] & ~3, seen + 1
    return 0


@post_load("xhci", since=(7, 2))
def xhci(event: BodyLoaded) -> Iterator[Problem]:
    """xhci_pci_vmstate_post_load: msix_vector_unuse for each interrupter, with MSI-X or without.

    Before the assertion came (5.2) nothing happened.
    """
    masks = event.profile.loader.pci.get(event.idstr) if event.profile.loader is not None else None
    core = event.body.child("xhci")
    if masks is None or core is None:
        return
    for number, interrupter in enumerate(core.children.get("intr", ())):
        if number >= _vectors(masks.config) and not interrupter.number("msix_used"):
            yield Problem(
                rule="post-load",
                summary="the destination's program aborts: its xHCI controller has no MSI-X",
                explanation="From 7.2 on QEMU asserts that the vector of each interrupter exists, "
                "and asks also when msix=off. No destination of these releases loads the guest.",
                words=(("msix-assertion", assertion(event.release, "msix-vector") or {}),),
                aborts=True,
            )
            return


@reads("usb-redir-parser")
def usb_redir_parser(reading: Reading) -> None:
    """hw/usb/redirect.c: usbredir_get_parser; what is inside is the library's own."""
    length = reading.loader.f.get_be(4)
    if length:
        reading.loader.not_examined("usb-redir: whether its library takes the parser's state")
        reading.loader.f.skip(length)


@reads("usb-redir-bufpq")
def usb_redir_packets(reading: Reading) -> None:
    """hw/usb/redirect.c: usbredir_get_bufpq."""
    f = reading.loader.f
    for _ in range(f.get_be(4)):
        length = f.get_be(4)
        f.skip(4 + length)


@reads("usb-redir-packet-id-q")
def usb_redir_ids(reading: Reading) -> None:
    """hw/usb/redirect.c: usbredir_get_packet_id_q."""
    f = reading.loader.f
    f.skip(8 * f.get_be(4))
