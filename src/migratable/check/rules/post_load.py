"""A device refuses its own state after it was loaded.

## What it checks

The code in the `post_load` hooks of devices: table sizes, indices, values that contradict each
other. A module of `migratable/check/devices` models each hook.

## Why QEMU refuses

The bytes fit the tables, but the device's code finds that the device cannot run with these values.

## How to fix it

The finding says which values; they come from a different configuration of the device in most cases.

## Source

The `post_load` functions of the devices; each module names its own.
"""

from __future__ import annotations

from migratable.check.events import BodyLoaded
from migratable.check.example import body_loaded, loading
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.verdict import Severity


def _point(queues: int) -> BodyLoaded:
    return body_loaded(loading("vmxnet3", {"txq_num": queues}), "0000:00:03.0/vmxnet3")


RULE = Rule(
    id="post-load",
    severity=Severity.REFUSES,
    side=Fault.CANNOT_TELL,
    now=(
        "The device refused its own state{loading: |; look at the lines before this one in {the "
        "destination's QEMU} log}. If none says why, migratable check finds the field from the "
        "stream itself."
    ),
    prevent="Test the pair of releases with the machine type and devices in use before rolling it "
    "out.",
    verify="check",
    examples=(refuses(_point(9), "9 transmit queues"), loads(_point(8))),
)
