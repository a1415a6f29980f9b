"""The two sides do not agree about multifd.

## What it checks

Nothing offline: the channels of multifd are not in a stream. `migratable explain` knows the
messages.

## Why QEMU refuses

Multifd sends pages over connections of their own, each with a first packet that says version,
identity and number. Another number of channels, another compression or a release with other flush
rules ends the migration.

## How to fix it

Give both sides the same multifd capability and parameters, or migrate without it.

## Source

`migration/multifd.c: multifd_recv_initial_packet, multifd_recv_unfill_packet`; 4.1 to 11.1.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="multifd",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now=(
        "{loading: |Use the same multifd settings {moving: on both sides, or migrate without "
        "multifd when the releases do not agree}.}"
    ),
    prevent=(
        "{moving: Set migration parameters from one place for both sides; test multifd between "
        "different releases.}"
    ),
)
