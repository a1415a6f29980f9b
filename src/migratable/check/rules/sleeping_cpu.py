"""A pseries guest's processor sleeps, and under TCG the destination will not wake it up.

## What it checks

Processors that have ceded: `cpu_common` says halted, and MSR.EE is set, as `H_CEDE` leaves it (one
that was never started is halted with EE clear). An idle Linux is nearly always saved in this state.

## Why QEMU loads it all the same

The loader does not check this. Measured with Linux 6.1 under TCG: on 11.1.2 a guest whose one
processor slept never got another interrupt (20 of 20 loads of 9 streams, from 5.2 and 7.2); where
it did not sleep, the guest always went on (11 of 11 loads of 4 streams, from 5.2, 7.2 and 11.1). On
10.0.13 a single sleeping vCPU woke up (15 of 15), but one of two vCPUs never woke (4 of 4,
`watchdog: CPU 0 detected hard LOCKUP on other CPUs 1`). On 7.2.22 one of two vCPUs never woke in 1
of 2 loads; the rule does not cover 7.2. Under KVM the kernel has the timers, and the rule does not
apply.

## How to fix it

Use a destination of an older release, or one with KVM. `migratable rehearse --alive` with the RAM
of the guest shows whether the guest keeps running. A guest that is saved again while it is busy
does.

## Source

`target/ppc/machine.c: cpu_post_load` (`cpu_ppc_store_decr`, since 8.1), `hw/ppc/spapr_hcall.c:
h_cede`, `hw/core/cpu-common.c`; the change in 11.1 is not known: 11.1 source not available.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import StreamLoaded
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.check.state import LoadedState
from migratable.facts.behaviour import behaves
from migratable.messages import Fault
from migratable.profile.model import Profile
from migratable.profile.tables import Vmsd
from migratable.releases import QemuVersion
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind
from migratable.verdict import Severity

_EE = 1 << 15
_ALL_ASLEEP = "ppc-halted-cpu-stays-asleep"
_ONE_ASLEEP = "ppc-one-halted-cpu-stays-asleep"


def check(event: StreamLoaded) -> Iterator[Problem]:
    """How many sleep, where that many are lost."""
    profile = event.profile
    if profile.target != "ppc64" or profile.wants_kvm or not behaves(event.release, _ONE_ASLEEP):
        return
    if not any(one.idstr == "spapr" for one in event.sections):
        return
    common = [one for one in event.sections if one.idstr == "cpu_common"]
    asleep = sum(
        int.from_bytes(bytes(section.body[:4]), "big") == 1
        and (msr := cpu.number("env.msr")) is not None
        and bool(msr & _EE)
        for section, cpu in zip(common, event.cpus, strict=False)
    )
    if not asleep or (len(common) < 2 and not behaves(event.release, _ALL_ASLEEP)):
        return
    yield Problem(
        rule=RULE.id,
        refuses=False,
        severity=Severity.ENDANGERS,
        summary=f"{asleep} of the guest's {len(common)} processors sleep, and QEMU "
        f"{profile.version} under TCG does not wake them up after a load",
        explanation="QEMU reports a completed migration; the guest then hangs, or reports a hard "
        "lockup.",
        device="cpu_common",
    )


def _point(release: tuple[int, int], *cpus: tuple[int, int]) -> StreamLoaded:
    def section(name: str, number: int, body: bytes) -> Section:
        return Section(
            kind=SectionKind.FULL,
            section_id=number,
            idstr=name,
            instance_id=number,
            version_id=1,
            body=body,
        )

    return StreamLoaded(
        release=release,
        profile=Profile(version=QemuVersion(*release), machine="pseries-5.2", target="ppc64"),
        sections=[
            *(
                section("cpu_common", number, halted.to_bytes(4, "big") + bytes(4))
                for number, (halted, _) in enumerate(cpus)
            ),
            section("spapr", 9, b""),
        ],
        cpus=[
            LoadedState(
                index=0,
                vmsd=Vmsd(name="cpu", version=5, minimum=5),
                opaque=0,
                version=5,
                values={"env.msr": msr},
            )
            for _, msr in cpus
        ],
    )


RULE = Rule(
    id="sleeping-cpu",
    severity=Severity.ENDANGERS,
    side=Fault.DESTINATION,
    now="Use a destination of an older release, or one with KVM.",
    prevent="Migrate pseries guests under KVM; under TCG test the pair of releases with an idle "
    "guest.",
    verify="rehearse",
    events=(StreamLoaded,),
    check=check,
    examples=(
        refuses(_point((11, 1), (1, 0xB033)), "1 of the guest's 1 processors sleep"),
        refuses(_point((10, 0), (1, 0xB033), (0, 0xB033)), "1 of the guest's 2 processors"),
        loads(_point((10, 0), (1, 0xB033))),
        loads(_point((7, 2), (1, 0xB033), (1, 0xB033))),
        loads(_point((11, 1), (0, 0xB033), (1, 0x1000))),
    ),
)
