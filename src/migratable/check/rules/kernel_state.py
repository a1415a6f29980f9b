"""The guest's state needs a kernel (KVM) that the destination does not have, or not so.

## What it checks

State that only a kernel can take: nested guests (`cpu/nested_state`), and a CPU that was running a
nested guest when it was saved.

## Why QEMU refuses

The program has no place for what the source's kernel gave, and says so or aborts. What KVM itself
says to registers on the destination's host is not examined.

## How to fix it

Move the guest to a host with KVM and the feature; or shut its nested guests down before it is
moved.

## Source

`target/i386/machine.c: cpu_post_load, nested_state_post_load`; 4.1 to 11.1.
"""

from __future__ import annotations

from migratable.check.events import BodyLoaded
from migratable.check.example import body_loaded, loading
from migratable.check.rule import Rule, loads, refuses
from migratable.verdict import Severity


def _point(hflags: int) -> BodyLoaded:
    return body_loaded(loading("cpu", {"env.hflags": hflags}, version=12), "cpu")


RULE = Rule(
    id="kernel-state",
    severity=Severity.REFUSES,
    examples=(refuses(_point(1 << 21), "nested guest"), loads(_point(0))),
)
