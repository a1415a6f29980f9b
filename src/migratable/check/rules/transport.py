"""The connection between the two sides could not be made, or broke.

## What it checks

Nothing offline: `migratable explain` knows the messages.

## Why QEMU refuses

A port, a firewall or TLS certificates block the connection, or the peer exited. One side's log then
has a connection error only, and the cause is in the other's.

## How to fix it

Read the destination's log first; then ports, firewall and certificates.

## Source

`migration/socket.c`, `migration/tls.c`, `migration/qemu-file.c`, `io/`; 4.1 to 11.1.
"""

from __future__ import annotations

from migratable.check.rule import Rule
from migratable.messages import Fault
from migratable.verdict import Severity

RULE = Rule(
    id="transport",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now=(
        "{loading: |Check that {the destination's QEMU} is alive and reachable (port, firewall, "
        "TLS certificates), and read {the destination's} log first: it often ended before the "
        "connection did.}"
    ),
    prevent=(
        "{moving: Open the migration ports between all hosts and keep the certificates valid.}"
    ),
)
