"""The guest's state needs a KVM feature that the destination does not have.

## What it checks

State that only a kernel can load: nested guests (`cpu/nested_state`), and a CPU that was running a
nested guest when it was saved.

## Why QEMU refuses

The program has no place for the state of the source's kernel: it refuses the state, or aborts.
{doc}`kvm-registers` covers registers that the destination's KVM refuses, {doc}`kvm-host` those that
it does not restore.

## How to fix it

Move the guest to a host with KVM and the feature, or shut down its nested guests before the
migration.

## Source

`target/i386/machine.c: cpu_post_load, nested_state_post_load`; 4.1 to 11.1.
"""

from __future__ import annotations

from migratable.check.events import BodyLoaded
from migratable.check.example import body_loaded, loading
from migratable.check.rule import Rule, loads, refuses
from migratable.messages import Fault
from migratable.verdict import Severity


def _point(hflags: int) -> BodyLoaded:
    return body_loaded(loading("cpu", {"env.hflags": hflags}, version=12), "cpu")


RULE = Rule(
    id="kernel-state",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Use a destination kernel that knows the register or feature, or hide it from the guest on "
        "{the source} and restart the guest."
    ),
    prevent="Use the same kernel series on all hosts, and a CPU model with only the features that "
    "all hosts have.",
    verify="rehearse",
    examples=(refuses(_point(1 << 21), "nested guest"), loads(_point(0))),
)
