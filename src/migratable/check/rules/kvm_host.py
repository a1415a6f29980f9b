"""The destination host's KVM lacks registers, a clock rate or vCPUs of the guest (x86).

## What it checks

A profile that was taken under KVM has its host's facts: which MSRs its kernel saves and restores,
whether it can run a guest's time-stamp counter at another rate, how many vCPUs it supports. These
are compared with the guest's state, without access to either host:

- a subsection of a CPU whose MSRs the kernel does not list: QEMU then does not set them, and the
  guest's value is lost (`cpu/steal_time_msr`, `cpu/spec_ctrl`, `cpu/msr_hyperv_…`);
- `cpu/tsc_khz` of another rate than the host's counter, on a host that cannot scale it;
- more CPUs than the kernel supports.

Processor features are compared by {doc}`cpu-features`.

## Why QEMU loads it all the same

`kvm_put_msrs` sets only what the kernel lists. A rate that cannot be set is a warning
(`TSC frequency mismatch between VM … and host …, and TSC scaling unavailable`), unless the command
line has `tsc-frequency=`: then the machine does not start. More than 250 parts in a million apart,
the guest's clock runs wrong until the guest measures the rate again.

## How to fix it

Use a host with a newer kernel or with the same rate. Or restart the guest at the source without
the feature of these registers (`-cpu …,-kvm-steal-time`), or with another clock than the
counter (`kvmclock`, which follows the host's rate).

## Source

`target/i386/kvm/kvm.c: kvm_put_msrs, kvm_get_supported_msrs, kvm_arch_set_tsc_khz`;
`accel/kvm/kvm-all.c: kvm_init`; 5.2 to 10.0.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.events import StreamLoaded
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.check.state import LoadedState
from migratable.facts.kvm import SENT_MSRS
from migratable.messages import Fault
from migratable.profile.host_kvm import HostKvm
from migratable.profile.model import Profile
from migratable.profile.tables import Vmsd
from migratable.releases import QemuVersion
from migratable.verdict import Severity

_PARTS = 250
"""Parts in a million by which rates may differ (``freq_within_bounds``; KVM's own tolerance)."""


def check(event: StreamLoaded) -> Iterator[Problem]:
    """What the destination's kernel does not take."""
    host = event.profile.host_kvm
    if host is None or event.profile.accelerator != "kvm" or not event.cpus:
        return
    yield from _msrs(event, host)
    yield from _rate(event, host)
    most = host.extensions.get("MAX_VCPUS", 0)
    if most and len(event.cpus) > most:
        yield _problem(
            f"the guest has {len(event.cpus)} CPUs, the destination's KVM supports {most}"
        )


def _msrs(event: StreamLoaded, host: HostKvm) -> Iterator[Problem]:
    lost: dict[str, tuple[int, ...]] = {}
    for cpu in event.cpus:
        for subsection in cpu.subsections:
            missing = tuple(one for one in SENT_MSRS.get(subsection, ()) if one not in host.msrs)
            if missing and host.msrs:
                lost.setdefault(subsection, missing)
    for subsection, numbers in lost.items():
        words = ", ".join(f"{number:#x}" for number in numbers)
        yield _problem(
            f"{subsection}: the destination's kernel ({host.kernel}) does not restore MSR {words}",
            "QEMU sets no MSR that the kernel does not list: the guest's value is lost.",
        )


def _rate(event: StreamLoaded, host: HostKvm) -> Iterator[Problem]:
    sent = event.cpus[0].subsections.get("cpu/tsc_khz")
    rate = None if sent is None else sent.number("env.tsc_khz")
    if not rate or not host.tsc_khz or host.scales_tsc:
        return
    if abs(rate - host.tsc_khz) * 1_000_000 <= _PARTS * rate:
        return
    yield _problem(
        f"the guest's time-stamp counter runs at {rate} kHz, the destination host's at "
        f"{host.tsc_khz} kHz, and it cannot be scaled",
        "QEMU warns and loads it; a guest that keeps time by the counter runs at a wrong rate. "
        "With tsc-frequency= on its command line the destination does not start.",
    )


def _problem(summary: str, explanation: str = "") -> Problem:
    return Problem(
        rule=RULE.id,
        refuses=False,
        severity=Severity.ENDANGERS,
        summary=summary,
        explanation=explanation,
        device="cpu",
    )


def _point(
    *subsections: str, khz: int = 0, cpus: int = 1, host: HostKvm | None = None
) -> StreamLoaded:
    def body(name: str, **values: int) -> LoadedState:
        vmsd = Vmsd(name=name, version=1, minimum=1)
        return LoadedState(
            index=0,
            vmsd=vmsd,
            opaque=0,
            version=1,
            values={f"env.{k}": v for k, v in values.items()},
        )

    cpu = body("cpu")
    cpu.subsections.update({name: body(name) for name in subsections})
    if khz:
        cpu.subsections["cpu/tsc_khz"] = body("cpu/tsc_khz", tsc_khz=khz)
    profile = Profile(
        version=QemuVersion(10, 0, 0),
        machine="pc-q35-10.0",
        target="x86_64",
        accelerator="kvm",
        wants_kvm=True,
        host_kvm=host or HostKvm(kernel="6.1", msrs=(0x6E0,), tsc_khz=2_000_000),
    )
    return StreamLoaded(release=(10, 0), profile=profile, cpus=(cpu,) * cpus)


RULE = Rule(
    id="kvm-host",
    severity=Severity.ENDANGERS,
    side=Fault.DESTINATION,
    now="Use a destination host with a newer kernel, or with a time-stamp counter of the same "
    "rate.",
    prevent="Use the same kernel series on all hosts, and give guests a CPU model and a clock that "
    "all of them have.",
    verify="check",
    events=(StreamLoaded,),
    check=check,
    examples=(
        refuses(_point("cpu/steal_time_msr"), "does not restore MSR 0x4b564d03"),
        loads(_point("cpu/msr_tscdeadline")),
        refuses(_point(khz=2_600_000), "runs at 2600000 kHz"),
        loads(_point(khz=2_000_400)),
        loads(
            _point(khz=2_600_000, host=HostKvm(tsc_khz=2_000_000, extensions={"TSC_CONTROL": 1}))
        ),
        refuses(_point(cpus=3, host=HostKvm(extensions={"MAX_VCPUS": 2})), "has 3 CPUs"),
        loads(_point(cpus=2, host=HostKvm(extensions={"MAX_VCPUS": 2}))),
    ),
)
