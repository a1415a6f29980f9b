"""A backend or helper outside of QEMU differs between source and destination.

## What it checks

On pseries whether an NVDIMM's contents are flushed by a hypercall (a file behind it) or by the
guest itself (persistent memory). The state of a TPM (swtpm) and of helpers on D-Bus is reported;
the helper is not tested.

## Why QEMU refuses

Guest data could be lost on power failure. Helpers with their own state (swtpm,
virtiofsd, vhost-user) may refuse too; migratable does not predict that.

## How to fix it

Give the destination a backend of the same kind (`pmem=on` for both sides or for none).

## Source

`hw/ppc/spapr_nvdimm.c: spapr_nvdimm_flush_post_load`; 7.0 to 11.1.
"""

from __future__ import annotations

from migratable.check.events import BodyLoaded
from migratable.check.example import PSERIES, body_loaded, loading
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.verdict import Severity


def _point(*, sent: int, here: int) -> BodyLoaded:
    values, own = ({"hcall_flush_required": one} for one in (sent, here))
    body = loading("spapr_nvdimm_states", values, own=own)
    return body_loaded(body, "/spapr-nvdimm", PSERIES)


RULE = Rule(
    id="external-state",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "{loading: |Bring the helper (swtpm, virtiofsd, a vhost-user or vfio device) and its state "
        "into the same version {moving: on both sides}.}"
    ),
    prevent="Upgrade helpers with QEMU and treat their state as part of the VM.",
    examples=(
        refuses(_point(sent=1, here=0), "NVDIMM by hypercall"),
        loads(_point(sent=1, here=1)),
    ),
)
