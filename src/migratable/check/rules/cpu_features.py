"""The guest uses processor features that the destination's CPU does not have (x86).

## What it checks

Features that the guest's state shows in use: bits of CR4, XCR0 and EFER that its kernel has set,
and registers of features whose subsections came (`cpu/avx512`, `cpu/pkru`, `cpu/xss` …). Each is
looked up in the CPUID words of the destination's CPU. When the source is a profile, or its profile
is known, all of its CPUID words are compared.

A feature that leaves no trace in the state (AES, SSE4, BMI) shows only in the second way. A
destination for KVM is compared if its profile was taken under KVM: its CPUID words are then the
part of the CPU model that its processor and kernel support. The profile also has facts about the
host. So the finding says which features the host lacks and which only the CPU model of the command
line lacks, and which models the host (and the source's host, if its facts are known) fully
supports.

## Why QEMU loads it all the same

The loader does not compare CPUID and prints nothing. The guest crashes soon after, by an invalid
opcode or a general protection fault. TCG supports AVX from 7.2 on: init of a Linux guest with `-cpu
Haswell-noTSX` gets SIGILL after a migration from 7.2 to 5.2.

A differing `tsc-frequency=` is refused.

## How to fix it

Take a destination whose CPU has the features. Else start the guest anew at the source with a CPU
model that both sides have, or with the features turned off (`-cpu Haswell-noTSX,-avx`).

## Source

`target/i386/machine.c` (`vmstate_x86_cpu` has no CPUID), `target/i386/cpu.c: feature_word_info,
x86_cpu_filter_features`; 4.1 to 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check import x86_features
from migratable.check.events import StreamLoaded
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.check.state import LoadedState
from migratable.facts.kvm import LIBVIRT_NAMES
from migratable.facts.targets import X86
from migratable.messages import Fault
from migratable.profile.host_kvm import CpuModel, HostKvm
from migratable.profile.model import Profile
from migratable.profile.tables import Vmsd
from migratable.releases import QemuVersion
from migratable.verdict import Severity

#: Register: bit, its name, and the features of which one is needed (Intel SDM 3, 2.5; AMD APM 2).
_REGISTERS: dict[str, tuple[str, tuple[tuple[int, str, str], ...]]] = {
    "env.cr[4]": (
        "CR4",
        (
            (0, "VME", "vme"),
            (2, "TSD", "tsc"),
            (3, "DE", "de"),
            (4, "PSE", "pse"),
            (5, "PAE", "pae"),
            (6, "MCE", "mce"),
            (7, "PGE", "pge"),
            (9, "OSFXSR", "fxsr"),
            (10, "OSXMMEXCPT", "sse"),
            (11, "UMIP", "umip"),
            (12, "LA57", "la57"),
            (13, "VMXE", "vmx"),
            (14, "SMXE", "smx"),
            (16, "FSGSBASE", "fsgsbase"),
            (17, "PCIDE", "pcid"),
            (18, "OSXSAVE", "xsave"),
            (20, "SMEP", "smep"),
            (21, "SMAP", "smap"),
            (22, "PKE", "pku"),
            (24, "PKS", "pks"),
            (28, "LAM_SUP", "lam"),
            (32, "FRED", "fred"),
        ),
    ),
    "env.xcr0": (
        "XCR0",
        (
            (2, "AVX", "avx"),
            (3, "BNDREG", "mpx"),
            (5, "opmask", "avx512f"),
            (9, "PKRU", "pku"),
            (18, "TILEDATA", "amx-tile"),
        ),
    ),
    "env.efer": (
        "EFER",
        (
            (0, "SCE", "syscall"),
            (10, "LMA", "lm"),
            (11, "NXE", "nx"),
            (12, "SVME", "svm"),
            (14, "FFXSR", "fxsr-opt"),
        ),
    ),
}


def check(event: StreamLoaded) -> Iterator[Problem]:
    """What is in use, then what else the source's CPU has."""
    profile = event.profile
    if profile.target not in X86 or not _is_known(profile):
        return
    here = x86_features.features(profile.cpu_features)
    there = None
    if event.origin is not None and _is_known(event.origin):
        there = x86_features.features(event.origin.cpu_features)
    used: dict[str, str] = {}
    for cpu in event.cpus:
        for name, where in _used(cpu, here):
            if there is None or name in there:
                used.setdefault(name, where)
    if used:
        words = ", ".join(f"{name} ({where})" for name, where in used.items())
        yield _problem(
            f"the guest uses processor features that the destination's CPU does not have: {words}",
            profile,
            tuple(used),
            event.origin,
        )
    lost = x86_features.decisive((there or frozenset()) - here - used.keys())
    if lost:
        yield _problem(
            f"the destination's CPU lacks features of the source's: {', '.join(lost)}",
            profile,
            lost,
            event.origin,
        )


def _is_known(profile: Profile) -> bool:
    """Are the CPUID words those of the real machine, and not of TCG in its place?"""
    return bool(profile.cpu_features) and not profile.stand_in


def _on_kvm(profile: Profile, names: tuple[str, ...], origin: Profile | None) -> Iterator[str]:
    """Who lacks the features, their names for libvirt, and the models that would do."""
    host = profile.host_kvm
    if host is None or not host.cpuid:
        return
    has = x86_features.features(host.feature_words)
    lacking = [name for name in names if name not in has]
    if lacking:
        yield f"The destination's processor and kernel ({host.kernel}) lack: {', '.join(lacking)}."
    model = [name for name in names if name in has]
    if model:
        added = ",".join(f"{name}=on" for name in model)
        yield f"Only its CPU model lacks: {', '.join(model)} (-cpu {profile.cpu_model},{added})."
    other = [f"{LIBVIRT_NAMES[name]} for {name}" for name in names if name in LIBVIRT_NAMES]
    if other:
        yield f"libvirt's names: {', '.join(other)}."
    models = _whole(host)
    hosts = "the destination's host has"
    both = origin.host_kvm if origin is not None else None
    if both is not None and both.models:
        known = _whole(both)
        models = {name: size for name, size in models.items() if name in known}
        hosts = "both hosts have"
    if lacking and models:
        most = max(models.values())
        best = sorted(name for name, size in models.items() if size == most)
        yield f"The largest CPU model that {hosts} in full, for a new start: {' or '.join(best)}."


def _whole(host: HostKvm) -> dict[str, int]:
    """Models of which the host lacks nothing, with the number of their features."""
    return {
        name: len(one.features)
        for name, one in host.models.items()
        if one.features and not one.unavailable
    }


def _problem(
    summary: str, profile: Profile, names: tuple[str, ...], origin: Profile | None
) -> Problem:
    return Problem(
        rule=RULE.id,
        refuses=False,
        severity=Severity.ENDANGERS,
        summary=summary,
        explanation=" ".join(
            [
                "QEMU does not compare CPUID: it loads the guest without a message, and the next "
                f"such instruction is invalid on this {profile.cpu_model or 'CPU'}.",
                *_on_kvm(profile, names, origin),
            ]
        ),
        device="cpu",
    )


def _used(cpu: LoadedState, here: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Features that a CPU's state shows and the destination lacks, with where they show."""
    for field, (register, bits) in _REGISTERS.items():
        value = cpu.number(field) or 0
        for bit, short, name in bits:
            if value >> bit & 1 and name not in here:
                yield name, f"{register}.{short}"
    for subsection, names in x86_features.SENT_FOR.items():
        any_of = names.split()
        if subsection in cpu.subsections and here.isdisjoint(any_of):
            yield any_of[0], subsection


def _point(
    xcr0: int,
    ecx: int,
    origin: int | None = None,
    *,
    accelerator: str = "tcg",
    host: HostKvm | None = None,
    wants_kvm: bool = False,
) -> StreamLoaded:
    def profile(word: int) -> Profile:
        words = {"cpuid-input-eax": 1, "cpuid-register": "ECX", "features": word}
        return Profile(
            version=QemuVersion(5, 2, 0),
            machine="pc-q35-5.2",
            target="x86_64",
            cpu_model="Haswell-noTSX",
            cpu_features=(words,),
            accelerator=accelerator,
            wants_kvm=wants_kvm,
            host_kvm=host,
        )

    vmsd = Vmsd(name="cpu", version=12, minimum=11)
    cpu = LoadedState(index=0, vmsd=vmsd, opaque=0, version=12, values={"env.xcr0": xcr0})
    return StreamLoaded(
        release=(5, 2),
        profile=profile(ecx),
        cpus=(cpu,),
        origin=None if origin is None else profile(origin),
    )


_HOST = HostKvm(
    kernel="6.1",
    cpuid=((1, 0, 0, 0, 0, 1 << 1, 0),),
    models={
        "Nehalem": CpuModel(features=("a", "b")),
        "kvm64": CpuModel(features=("a",)),
        "Haswell": CpuModel(unavailable=("aes",)),
    },
)
RULE = Rule(
    id="cpu-features",
    severity=Severity.ENDANGERS,
    side=Fault.DESTINATION,
    now=(
        "{loading: |Use a CPU model that {moving: both hosts provide|this host provides (virsh "
        "domcapabilities)}{moving: , or migrate to a host (kernel, microcode, QEMU) that provides "
        "the missing features}.}"
    ),
    prevent="Use a named CPU model that is the common baseline of all hosts (virsh "
    "hypervisor-cpu-baseline), not host-passthrough or host-model.",
    events=(StreamLoaded,),
    check=check,
    examples=(
        refuses(_point(7, 0), "avx (XCR0.AVX)"),
        refuses(_point(3, 0, 1 << 25), "lacks features of the source's: aes"),
        refuses(
            _point(3, 0, 1 << 25 | 1 << 1, accelerator="kvm", wants_kvm=True, host=_HOST),
            "lacks features of the source's: aes, pclmulqdq",
        ),
        loads(_point(3, 0, 1 << 25, wants_kvm=True)),
        loads(_point(7, 1 << 28)),
        loads(_point(3, 0)),
    ),
)
