"""Cases under KVM: the same machines; accelerator, irqchip and CPU are drawn for each side.

Drawn from a generator of its own, so that a seed's machines are those that it has under TCG.
"""

from __future__ import annotations

import random
from dataclasses import replace

from migratable.campaign.case import Group, Side

_KVM = 0.85
"""How often a side is under KVM; the rest is under TCG."""
_ANOTHER_CPU = 0.3
_FORMS: tuple[tuple[str, ...], ...] = (
    ("-accel", "kvm"),
    ("-accel", "kvm"),
    ("-accel", "kvm"),
    ("-enable-kvm",),
    ("-accel", "kvm", "-accel", "tcg"),
    ("-machine", "accel=kvm:tcg"),
    ("-machine", "accel=kvm,kernel_irqchip=split"),
    ("-accel", "kvm,kernel-irqchip=split"),
    ("-accel", "kvm,kernel-irqchip=off"),
    ("-accel", "kvm,dirty-ring-size=4096"),
)
_MODELS = (
    "qemu64",
    "qemu64",
    "kvm64",
    "qemu32",
    "base",
    "core2duo",
    "Haswell",
    "EPYC",
    "max,-arch",
)
_FEATURES = (
    "",
    "",
    "-x2apic",
    "-mce",
    "kvm=off",
    "-kvmclock",
    "+invtsc",
    "-kvm-asyncpf",
    "-kvm-pv-eoi",
    "kvm-pv-enforce-cpuid=on",
    "check",
    "enforce",
    "migratable=off",
    "pmu=on",
    "hv_relaxed",
    "hv_vpindex",
    "hv_time",
    "lmce=on",
    "tsc-frequency=1000000000",
    "-apic",
    "host-phys-bits=on",
)
_DEVICES = ("intel-iommu", "intel-iommu,intremap=on", "amd-iommu", "kvmvapic")


def accelerated(group: Group) -> Group:
    """The group with an accelerator for the source and for each destination."""
    rng = random.Random(f"migratable-campaign-accel:{group.label}")  # noqa: S311 -- to be had again
    cpu = _cpu(rng)
    form = rng.choice(_FORMS) if rng.random() < _KVM else ("-accel", "tcg")
    source = _with(group.source, cpu, form)
    destinations: list[Side] = []
    for destination in group.destinations:
        # Mostly the source's own accelerator: most migrations do not change it.
        other = _cpu(rng) if rng.random() < _ANOTHER_CPU else cpu
        own = form
        if rng.random() < 1 - _KVM:
            own = rng.choice([*_FORMS, ("-accel", "tcg")])
        side = _with(destination, other, own)
        if rng.random() < 0.05 and "-q35" in " ".join(destination.argv):
            side = replace(side, argv=(*side.argv, "-device", rng.choice(_DEVICES)))
        if side not in destinations:
            destinations.append(side)
    return replace(group, source=source, destinations=tuple(destinations))


def _cpu(rng: random.Random) -> str:
    if rng.random() < 0.4:
        return ""
    model = rng.choice(_MODELS)
    if model == "host":
        model = rng.choice(("host", "max")) + ",arch-capabilities=off"
    feature = rng.choice(_FEATURES)
    return f"{model},{feature}" if feature else model


def _with(side: Side, cpu: str, form: tuple[str, ...]) -> Side:
    argv = list(side.argv)
    if cpu:
        if "-cpu" in argv:
            argv[argv.index("-cpu") + 1] = cpu
        else:
            argv += ["-cpu", cpu]
    if form[0] == "-accel" and not any("accel=" in word for word in argv):
        return replace(side, argv=(*argv, *form))
    if form[0] == "-accel":  # both ways at once QEMU refuses
        argv = [word.replace("accel=tcg", "vmport=auto") for word in argv]
    return replace(side, argv=(*argv, *form))
