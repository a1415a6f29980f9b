"""The guest's processor has a version that the destination's CPU cannot replace.

## What it checks

On ppc64 the processor version register (PVR) of each CPU in the stream against the destination's
CPU, and the compatibility mode, if the guest has negotiated one.

## Why QEMU refuses

Without a compatibility mode the guest runs on exactly the processor that it was started with.
QEMU says nothing but `error while loading state for instance 0x0 of device 'cpu'`. `-cpu POWER9`
means POWER9 v2.0 up to 9.x and v2.2 from 10.0 on, so the same command line can name two
processors.

## How to fix it

Name the processor with its version on the destination (`-cpu power9_v2.0`), or give the guest a
compatibility mode (`-machine pseries,max-cpu-compat=power9`) which Linux then negotiates.

## Source

`target/ppc/machine.c: cpu_post_load, pvr_match`, `target/ppc/compat.c`; 4.1 to 11.1.
"""

from __future__ import annotations

from dataclasses import replace

from migratable.check.events import BodyLoaded
from migratable.check.example import PSERIES, body_loaded, loading
from migratable.check.rule import Rule, loads, refuses
from migratable.facts.ppc import SPR_PVR
from migratable.messages import Fault
from migratable.verdict import Severity


def _point(pvr: int) -> BodyLoaded:
    registers = bytearray(8 * 1024)
    registers[8 * SPR_PVR : 8 * SPR_PVR + 8] = pvr.to_bytes(8, "big")
    profile = replace(PSERIES, machine="pseries-5.2", cpu_model="power9_v2.2", pvr=0x004E1202)
    body = loading("cpu", {"env.spr": memoryview(registers)}, version=5)
    return body_loaded(body, "cpu", profile)


RULE = Rule(
    id="cpu-identity",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now=(
        "Give {moving: the destination|the guest} the exact processor version of the guest (for "
        "example -cpu power9_v2.0) or a compatibility mode (max-cpu-compat=power9)."
    ),
    prevent="Name the processor with its version, or set max-cpu-compat, in the VM's definition.",
    verify="check",
    examples=(refuses(_point(0x004E1200), "power9_v2.0"), loads(_point(0x004E1202))),
)
