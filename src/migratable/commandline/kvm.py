"""The effects of KVM on an x86 command line, as far as the command line shows them.

Used where TCG stands in for KVM: what the machine has in addition, what does not start whatever
the host, and what only the destination's kernel and processor decide. Sources are QEMU's of 5.2,
7.2 and 10.0; every rule was measured on real KVM with 5.2, 7.2, 10.0 and 11.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from migratable.commandline.line import CommandLine, Option
from migratable.commandline.option import is_on
from migratable.releases import MachineType

_CREATED_ALWAYS = (5, 2)
"""``pcmc->kvmclock_create_always`` is false up to this version's machine types
(hw/i386/pc_piix.c: pc_i440fx_5_1_machine_options)."""
_RELIABLE_CLOCK = (2, 8)
"""The last machine type whose stream does not say that (pc_compat_2_8)."""
_NO_USERSPACE_APIC = (8, 0)
"""docs/about/removed-features.rst: userspace local APIC with KVM."""
_SPLIT = frozenset({"microvm", "pc-q35-4.0"})
"""Machine types with ``default_kernel_irqchip_split``."""
_WITHOUT_CLOCK = frozenset({"none", "x-remote"})
_IOMMUS = frozenset({"intel-iommu", "amd-iommu"})
_HOST_MODELS = frozenset({"host", "max"})
_OFF = frozenset({"off", "no", "false", "n"})
_MANY_CPUS = 288
"""Fewer vCPUs every kernel takes that QEMU 5.2 and later support (KVM_MAX_VCPUS since 4.8)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is known of a machine under KVM without KVM.

    :ivar refused: lines with which the program ends at its start, whatever the host.
    :ivar decides: what only the destination's KVM tells and may be decisive, in words.
    """

    refused: tuple[str, ...] = ()
    decides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuWords:
    """The last ``-cpu`` of a line, as ``x86_cpu_parse_featurestr`` reads it.

    ``+x`` and ``-x`` win over ``x=on``; ``-x`` over ``+x``; ``_`` is ``-``.
    """

    model: str = ""
    words: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, line: CommandLine) -> CpuWords:
        """Those of *line*; without model when it leaves it to the machine."""
        options = tuple(line.all("cpu"))
        if not options:
            return cls()
        fields = options[-1].fields
        words = {
            name[:1] + name[1:].replace("_", "-"): value
            for name, value in fields.items()
            if name != "model"
        }
        return cls(model=fields.get("model") or "", words=words)

    def get(self, name: str) -> bool | None:
        """Whether a feature is asked for, by a number too; None when it is not named."""
        if f"-{name}" in self.words:
            return False
        if f"+{name}" in self.words:
            return True
        return self.words[name] not in _OFF if name in self.words else None

    def named(self) -> Iterator[str]:
        """Features that are asked for."""
        names = dict.fromkeys(word.lstrip("+-") for word in self.words)
        return (name for name in names if self.get(name) is not False)

    def has(self, feature: str) -> bool:
        """Whether the guest sees a feature of KVM, or x2APIC, which KVM gives to every model.

        Named models have them by ``kvm_default_props`` (target/i386/kvm/kvm-cpu.c), ``host`` and
        ``max`` all that there are; ``base`` has none.
        """
        asked = self.get(feature)
        return asked if asked is not None else self.model != "base"


def has_kvmclock(line: CommandLine, machine: str, release: tuple[int, int] | None) -> bool:
    """Has the machine a section ``kvmclock`` under KVM (hw/i386/kvm/clock.c: kvmclock_create)?

    :param machine: the machine type's canonical name.
    """
    if machine in _WITHOUT_CLOCK:
        return False
    version = MachineType.parse(machine).version
    old = (version is not None and version < _CREATED_ALWAYS) or (
        release is not None and release < _CREATED_ALWAYS
    )
    if not old:
        return True
    cpu = CpuWords.of(line)
    return cpu.get("kvm") is not False and cpu.has("kvmclock")


def says_reliable(machine: str) -> bool:
    """Has that section the subsection ``kvmclock/clock_is_reliable``?"""
    version = MachineType.parse(machine).version
    return version is None or version > _RELIABLE_CLOCK


def irqchip(line: CommandLine, machine: str) -> str:
    """``on``, ``split`` or ``off``: where the interrupt controllers are (accel/kvm/kvm-all.c)."""
    found = None
    for option in line.options:
        if option.name in {"machine", "accel"}:
            for key in ("kernel_irqchip", "kernel-irqchip"):
                found = option.fields.get(key, found)
    if found is None:
        return "split" if machine in _SPLIT else "on"
    return found if found == "split" else ("on" if is_on(found) else "off")


def outlook(
    line: CommandLine,
    *,
    machine: str,
    release: tuple[int, int],
    properties: Sequence[str] | None,
    has_apic: bool,
    cpus: int,
) -> Outlook:
    """What is known of *line* under KVM.

    :param machine: the machine type's canonical name.
    :param properties: of the class ``kvm-accel``, as the program lists them; None: it has no KVM.
    :param has_apic: has the CPU model a local APIC?
    :param cpus: number of vCPUs that it starts with.
    """
    words = _first_refusal(
        line,
        machine=machine,
        release=release,
        properties=properties,
        userspace_apic=has_apic or cpus > 1,
    )
    return Outlook(
        refused=() if words is None else (words,), decides=tuple(_decides(line, machine, cpus))
    )


def _first_refusal(
    line: CommandLine,
    *,
    machine: str,
    release: tuple[int, int],
    properties: Sequence[str] | None,
    userspace_apic: bool,
) -> str | None:
    """The line with which the program ends, in the order of its start."""
    for option in line.all("accel"):
        if option.fields.get("accel") != "kvm":
            continue
        if properties is None:
            break
        for name in dict(option.fields.items()):
            if name not in {"accel", *properties}:
                return f"{_given(option)}: Property 'kvm-accel.{name}' not found"
    if any(True for _ in line.all("icount")):  # system/vl.c: configure_accelerators
        return "-icount is not allowed with hardware virtualization"
    chip = irqchip(line, machine)
    if chip == "off" and release >= _NO_USERSPACE_APIC and userspace_apic:
        return "KVM does not support userspace APIC"  # target/i386/cpu-apic.c
    for option in line.all("device"):
        fields = option.fields
        if fields.get("driver") not in _IOMMUS:
            continue
        if is_on(fields.get("intremap")) and chip == "on":  # hw/i386/x86-iommu.c: realize
            return (
                f"{_given(option)}: Interrupt Remapping cannot work with "
                "kernel-irqchip=on, please use 'split|off'."
            )
        wants_split = release < _NO_USERSPACE_APIC and chip != "split"
        if is_on(fields.get("eim")) and is_on(fields.get("intremap")) and wants_split:
            # hw/i386/intel_iommu.c: vtd_decide_config
            return f"{_given(option)}: eim=on requires accel=kvm,kernel-irqchip=split"
    return None


def _given(option: Option) -> str:
    return option.file or " ".join(option.words)


_CPU_DECIDES = {
    "enforce": "whether it has every feature of the CPU model (enforce)",
    "lmce": "whether it has LMCE (lmce=on)",
    "tsc-frequency": "whether it can run the TSC at this frequency (tsc-frequency)",
    "tsc-freq": "whether it can run the TSC at this frequency (tsc-freq)",
    "intel-pt": "whether it traces processors (intel-pt)",
    "lbr-fmt": "whether its LBR format is the one asked for (lbr-fmt)",
    "kvm-pv-enforce-cpuid": "whether it enforces CPUID for its own MSRs (kvm-pv-enforce-cpuid)",
}


def cpu_is_open(line: CommandLine) -> bool:
    """Whether KVM's host decides which features and registers the CPU has."""
    return _has_host_cpu(CpuWords.of(line)) or any(True for _ in _cpu_globals(line))


def _has_host_cpu(cpu: CpuWords) -> bool:
    return cpu.model in _HOST_MODELS


def _cpu_globals(line: CommandLine) -> Iterator[str]:
    for option in line.all("global"):
        text = option.value or ""
        if "-cpu." in text.replace("cpu,", "-cpu.") and "=" in text:
            yield text


def _decides(line: CommandLine, machine: str, cpus: int) -> Iterator[str]:
    """What a host may refuse at the start, or when registers are loaded."""
    cpu = CpuWords.of(line)
    if _has_host_cpu(cpu):
        yield f"which features -cpu {cpu.model} has, and whether the guest's registers fit them"
    for name in cpu.named():
        if name in _CPU_DECIDES:
            yield _CPU_DECIDES[name]
        elif name.startswith("hv-"):
            yield "whether it has the Hyper-V features of the CPU (hv-…)"
    for text in _cpu_globals(line):
        yield f"how -global {text} changes the CPU"
    for option in line.options:
        if option.name == "machine":
            if is_on(option.fields.get("smm")):
                yield "whether it has System Management Mode (smm=on)"
            if option.fields.get("bus-lock-ratelimit") not in {None, "0"}:
                yield "whether it detects bus locks (bus-lock-ratelimit)"
        elif option.name == "accel" and option.fields.get("accel") == "kvm":
            rest = [key for key, _ in option.fields.items() if key not in _PLAIN]
            if rest:
                yield f"whether it takes -accel kvm,{','.join(rest)}"
        elif option.name == "overcommit" and is_on(option.fields.get("cpu-pm")):
            yield "whether the guest may stop its processors (-overcommit cpu-pm=on)"
    if irqchip(line, machine) == "off" and any(
        option.fields.get("driver") in _IOMMUS for option in line.all("device")
    ):
        yield "whether an IOMMU starts without its interrupt controllers (kernel-irqchip=off)"
    if "tcg" in line.accelerators:
        yield "whether it exists: else QEMU falls back to TCG, which loads no KVM guest"
    most = _most_cpus(line, cpus)
    if most > _MANY_CPUS:
        yield f"whether it takes {most} vCPUs"
    if machine.startswith("xen"):
        yield "whether it is a Xen host"


_PLAIN = frozenset({"accel", "kernel-irqchip", "kvm-shadow-mem"})


def _most_cpus(line: CommandLine, cpus: int) -> int:
    found = [cpus]
    for option in line.all("smp"):
        found += [
            int(v) for k, v in option.fields.items() if k == "maxcpus" and (v or "").isdigit()
        ]
    return max(found)


__all__ = [
    "CpuWords",
    "Outlook",
    "has_kvmclock",
    "irqchip",
    "outlook",
    "says_reliable",
]
