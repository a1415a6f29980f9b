"""USB: hw/usb/redirect.c.

No hook of the host controllers, hubs, storage, tablets and card readers fails by what is in the
stream. Not examined: xhci's contexts of addressed slots, in the guest's memory; usbredir's parser,
a library's private format.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import has_fixes_of_2026, post_load
from migratable.check.points import BodyLoaded
from migratable.check.trouble import Problem


@post_load("usb-redir", since=(10, 0))
def usb_redir(at: BodyLoaded) -> Iterator[Problem]:
    """usbredir_post_load: an endpoint that receives in bulk has a packet size."""
    if not has_fixes_of_2026(at):
        return
    for number, endpoint in enumerate(at.body.children.get("endpoint", ())):
        bulk = endpoint.subsections.get("usb-redir-ep/bulk-receiving")
        receives = bulk is not None and bulk.number("bulk_receiving_started")
        if receives and endpoint.number("max_packet_size") == 0:
            yield Problem(
                rule="field-validation",
                summary=f"endpoint {number} receives in bulk with packets of 0 bytes",
                words=(("usbredir-bulk", {"endpoint": number}),),
            )
            return
