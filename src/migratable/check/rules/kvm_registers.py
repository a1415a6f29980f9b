"""The destination's KVM refuses a register of the guest, and QEMU aborts.

## What it checks

Three registers that KVM accepts only if the guest's CPU has their feature:

* the APIC's base address of a guest in x2APIC mode (section `apic`), for a CPU without `x2apic`;
* the machine check registers of a guest whose CPU has them (`mcg_cap` in section `cpu`), for a CPU
  without `mce` and `mca`: `-cpu …,-mce`, `qemu32`, `base`, `486`;
* asynchronous page faults that are delivered by an interrupt, for a CPU without `kvm-asyncpf-int`,
  if `kvm-pv-enforce-cpuid=on` makes KVM check it.

A destination under TCG accepts all of them.

## Why QEMU refuses

KVM refuses the register, and QEMU asserts that KVM accepts it. For the APIC this happens while its
section is loaded. QEMU sets the other registers after the whole load, even after a failed one: the
abort's lines then follow the loader's lines. From 10.2 on the loader prints its error at the very
end, so only the abort's lines appear.

## How to fix it

Give the destination's `-cpu` the source's model and features; under libvirt, the source's `<cpu>`
element. The guest is not lost: it still runs on the source. `migratable rehearse` needs a user that
may open `/dev/kvm`.

## Source

`target/i386/kvm/kvm.c: kvm_put_apicbase, kvm_buf_set_msrs, kvm_put_msrs, kvm_arch_init_vcpu`
(5.2: `target/i386/kvm.c`); `migration/savevm.c: qemu_loadvm_state`
(`cpu_synchronize_all_post_init`); Linux `arch/x86/kvm/lapic.c: kvm_apic_set_base`, `x86.c:
set_msr_mce, kvm_pv_enable_async_pf`. Seen on real KVM with 5.2, 7.2, 10.0 and 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check import kvm
from migratable.check.events import BodyLoaded, RegistersPut
from migratable.check.example import body_loaded, loading
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.check.state import LoadedState
from migratable.facts.behaviour import assertion
from migratable.messages import Fault
from migratable.profile.model import Profile
from migratable.profile.tables import Vmsd
from migratable.releases import QemuVersion
from migratable.verdict import Severity

_X2APIC_MODE = 1 << 10
"""MSR_IA32_APICBASE_EXTD."""
_MCG_CTL = 0x17B
_ASYNC_PF_EN = 0x4B564D02
_DELIVERED_BY_INTERRUPT = 1 << 3


def check(event: BodyLoaded | RegistersPut) -> Iterator[Problem]:
    """Ask about the APIC as its section is loaded, about the rest when registers are put."""
    if not kvm.under_kvm(event.profile):
        return
    if isinstance(event, RegistersPut):
        yield from _registers(event)
    elif event.body.vmsd.name == "apic":
        yield from _apic(event)


def _apic(event: BodyLoaded) -> Iterator[Problem]:
    base = event.body.number("apicbase")
    if base is None or not base & _X2APIC_MODE or not kvm.has_own_apic(event.profile):
        return
    if kvm.has_feature(event.profile, "x2apic"):
        return
    yield Problem(
        rule="kvm-registers",
        summary="the guest's APIC is in x2APIC mode, and the destination's CPU has no x2apic",
        explanation="KVM refuses the APIC's base address, and the program aborts. Give the "
        "destination's -cpu the source's features (x2apic=on).",
        words=(("kvm-apicbase-assertion", assertion(event.release, "kvm-apicbase") or {}),),
        field="apicbase",
        aborts=True,
    )


def _registers(event: RegistersPut) -> Iterator[Problem]:
    cpu, own = event.cpu, event.own_cpu
    asynchronous = cpu.subsections.get("cpu/async_pf_msr")
    enabled = None if asynchronous is None else asynchronous.number("env.async_pf_en_msr")
    if (
        enabled is not None
        and enabled & _DELIVERED_BY_INTERRUPT
        and kvm.enforces_cpuid(event.profile)
        and kvm.has_feature(event.profile, "kvm-asyncpf")
        and not kvm.has_feature(event.profile, "kvm-asyncpf-int")
    ):
        yield _msr(
            event,
            _ASYNC_PF_EN,
            enabled,
            summary="the guest has page faults delivered by an interrupt, and the destination's "
            "CPU has no kvm-asyncpf-int, which kvm-pv-enforce-cpuid asks for",
            remedy="Give the destination's -cpu the source's kvm-… features.",
            field="env.async_pf_en_msr",
        )
        return  # it is put before the others
    if cpu.number("env.mcg_cap") and own is not None and own.number("env.mcg_cap") == 0:
        yield _msr(
            event,
            _MCG_CTL,
            cpu.number("env.mcg_ctl") or 0,
            summary="the guest's CPU has machine check registers, the destination's has none",
            remedy="The destination's CPU lacks mce or mca: give its -cpu the source's model and "
            "features.",
            field="env.mcg_cap",
        )


def _msr(
    event: RegistersPut, msr: int, value: int, *, summary: str, remedy: str, field: str
) -> Problem:
    return Problem(
        rule="kvm-registers",
        summary=summary,
        explanation=f"KVM refuses MSR {msr:#x}, and the program aborts. {remedy}",
        words=(
            ("kvm-set-msr", {"msr": msr, "value": value}),
            ("kvm-msr-assertion", assertion(event.release, "kvm-msrs") or {}),
        ),
        field=field,
        aborts=True,
    )


def _profile(
    release: tuple[int, int], *cpu: str, ecx: int = 0, accelerator: str = "kvm"
) -> Profile:
    return Profile(
        version=QemuVersion(*release),
        machine="pc-q35-5.2",
        target="x86_64",
        accelerator=accelerator,
        wants_kvm=accelerator == "kvm",
        command_line=("qemu-system-x86_64", *cpu),
        cpu_features=(
            {"cpuid-input-eax": 1, "cpuid-register": "ECX", "features": ecx},
            {"cpuid-input-eax": 0x40000001, "cpuid-register": "EAX", "features": 1 << 4},
        ),
    )


def _put(to: Profile, own: int, **values: int) -> RegistersPut:
    def state(name: str, **numbers: int) -> LoadedState:
        return LoadedState(
            index=0,
            vmsd=Vmsd(name=name, version=12, minimum=3),
            opaque=0,
            version=12,
            values={f"env.{key}": value for key, value in numbers.items()},
        )

    cpu = state("cpu", mcg_cap=values.get("mcg_cap", 0), mcg_ctl=(1 << 64) - 1)
    if "asynchronous" in values:
        cpu.subsections["cpu/async_pf_msr"] = state(
            "cpu/async_pf_msr", async_pf_en_msr=values["asynchronous"]
        )
    return RegistersPut(
        release=to.version.release, profile=to, cpu=cpu, own_cpu=state("cpu", mcg_cap=own)
    )


def _base(to: Profile, value: int) -> BodyLoaded:
    return body_loaded(loading("apic", {"apicbase": value}, version=3), "apic", profile=to)


_MCG = 0x100010A
_X2 = 0xFEE00D00
_ENFORCE = ("-cpu", "qemu64,kvm-pv-enforce-cpuid=on")

RULE = Rule(
    id="kvm-registers",
    severity=Severity.REFUSES,
    side=Fault.DESTINATION,
    now="Give {the destination's} -cpu {the source's} model and features.",
    prevent="Give a guest the same CPU model and features (-x and +x) on all hosts, and do not "
    "remove a feature from a running guest.",
    verify="rehearse",
    events=(BodyLoaded, RegistersPut),
    check=check,
    examples=(
        refuses(_base(_profile((5, 2)), _X2), "x2APIC mode"),
        loads(_base(_profile((5, 2), ecx=1 << 21), _X2)),
        loads(_base(_profile((5, 2)), 0xFEE00900)),
        loads(_base(_profile((11, 1), accelerator="tcg"), _X2)),
        refuses(_put(_profile((11, 1)), 0, mcg_cap=_MCG), "machine check registers"),
        loads(_put(_profile((11, 1)), _MCG, mcg_cap=_MCG)),
        loads(_put(_profile((11, 1), accelerator="tcg"), 0, mcg_cap=_MCG)),
        refuses(_put(_profile((7, 2), *_ENFORCE), 0, asynchronous=9), "delivered by an interrupt"),
        loads(_put(_profile((7, 2)), 0, asynchronous=9)),
        loads(_put(_profile((7, 2), *_ENFORCE), 0, asynchronous=1)),
    ),
)
