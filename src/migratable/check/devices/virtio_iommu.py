"""virtio-iommu: hw/virtio/virtio-iommu.c."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem, UnexaminedError


@post_load("virtio-iommu-device")
def endpoints(at: BodyLoaded) -> Iterator[Problem]:
    """iommu_post_load: reconstruct_endpoints asserts that each endpoint's device is there.

    :raise UnexaminedError: for one that is not on the first bus, or not behind its bridge: what
        number a bus has is loaded with its bridge, which may come later.
    """
    tables = at.profile.loader
    here = {
        (int(slot, 16) << 3) + int(function, 16)
        for idstr in (() if tables is None else tables.pci)
        for slot, _, function in [idstr[8:12].partition(".")]
        if idstr.startswith("0000:00:") and idstr[12:13] == "/"
    }
    for domain in at.body.children.get("domains", ()):
        for endpoint in domain.children.get("endpoint_list", ()):
            number = endpoint.number("id")
            if number is not None and number not in here:
                raise UnexaminedError(f"whether the endpoint {number:#x} is there to be attached")
    yield from ()
