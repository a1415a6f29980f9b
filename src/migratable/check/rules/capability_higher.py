"""A pseries guest has a machine capability at a higher level than the destination.

## What it checks

The capability subsections of the stream's `spapr` section (`spapr/cap/...`) against the
destination's effective capabilities. A capability that is not in the stream counts as the
destination's own default, because the destination cannot know the source's.

## Why QEMU refuses

The guest was told that it has the capability (hardware transactional memory, nested
virtualisation, a mitigation) and may rely on it.

## How to fix it

Start the destination with the capability at the source's level:
`-machine pseries-...,cap-NAME=VALUE`. `migratable caps` shows the levels of a command line.

## Source

`hw/ppc/spapr_caps.c: spapr_caps_post_migration`; also in the model behind `migratable caps`.
"""

from __future__ import annotations

from migratable.check.example import spapr_with_cfpc
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="capability-higher",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Start {moving: the destination|the guest} with the machine capability at {the source's} "
        "level (-machine pseries,cap-NAME=VALUE)."
    ),
    prevent="Write the capabilities that matter into the VM's definition instead of leaving them "
    "to the release's default.",
    verify="check",
    examples=(
        refuses(spapr_with_cfpc(2), "cap-cfpc: stream 2, destination 1"),
        loads(spapr_with_cfpc(1)),
    ),
)
