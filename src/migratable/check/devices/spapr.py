"""pseries devices: hw/ppc/spapr_nvdimm.c.

The machine's own post-load compares capabilities (:mod:`migratable.check.rules`) and asks KVM for
its MMU mode; interrupt controllers (xics, xive), TCE tables, PCI host bridges, NVRAM, VTY and RTC
refuse nothing but what their tables compare. Not examined: entries of the hash page table.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import post_load
from migratable.check.points import BodyLoaded
from migratable.check.trouble import Problem


@post_load("spapr_nvdimm_states", since=(7, 0))
def nvdimm(at: BodyLoaded) -> Iterator[Problem]:
    """spapr_nvdimm_flush_post_load: does the guest flush by hypercall, and may it here?"""
    sent, here = at.body.number("hcall_flush_required"), at.body.owned("hcall_flush_required")
    if sent is None or here is None or bool(sent) == bool(here):
        return
    device = at.idstr.rpartition("/")[0] or at.idstr
    if sent:
        yield Problem(
            rule="external-state",
            summary="the guest flushes the NVDIMM by hypercall, the destination offers none",
            words=(("spapr-nvdimm-flush", {"device": device}),),
            field="hcall_flush_required",
        )
    else:
        yield Problem(
            rule="external-state",
            summary="the NVDIMM is persistent memory at the source and a file at the destination",
            words=(("spapr-nvdimm-pmem", {"device": device}),),
            field="hcall_flush_required",
        )
