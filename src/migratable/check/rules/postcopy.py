"""Postcopy cannot begin, or broke.

## What it checks

Nothing offline: `migratable explain` knows the messages. Page sizes that differ are
{doc}`ram-block-page-size`.

## Why QEMU refuses

The destination runs while its pages are still on the source: it needs userfaultfd of its kernel,
memory that can be registered with it, and equal page sizes. A connection that breaks then leaves
the guest split between the hosts until it is recovered.

## How to fix it

Migrate in precopy, or give the destination what its message names (userfaultfd rights, memory
that is not shared with a process that cannot take faults).

## Source

`migration/postcopy-ram.c: postcopy_ram_supported_by_host`, `migration/savevm.c:
loadvm_postcopy_handle_advise`; 4.1 to 11.1.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="postcopy",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now=("{loading: |Migrate in precopy, or use kernels and page sizes that support postcopy.}"),
    prevent=(
        "{moving: Enable postcopy only where userfaultfd and the backing memory allow it on both "
        "hosts.}"
    ),
)
