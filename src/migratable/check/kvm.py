"""A destination under KVM, or under TCG in place of KVM: its differences, and open questions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from migratable.check import x86_features
from migratable.errors import CommandLineError
from migratable.facts.kvm import KERNEL_SECTIONS
from migratable.facts.targets import X86
from migratable.profile.model import Profile
from migratable.unchecked import Code, Unchecked

if TYPE_CHECKING:
    from migratable.commandline import CommandLine
    from migratable.commandline.kvm import CpuWords


def undecided(profile: Profile, *, refused: bool, device: str | None) -> list[Unchecked]:
    """Reasons, naming KVM, for which nothing can be said; none for a refusal that stands.

    :param refused, device: the first refusal, if there is one.
    """
    if refused and not doubtful(profile, device):
        return []
    return [
        Unchecked(f"the destination's KVM, which was not tested: {text}", Code.KVM)
        for text in profile.kvm_decides
    ]


def doubtful(profile: Profile, device: str | None) -> bool:
    """Whether a refusal of *device* may be TCG's alone: of the CPU's section, of another processor.

    On targets that are no PC KVM also has interrupt controllers and timers of its own.
    """
    if not profile.stand_in or not profile.kvm_decides or device is None:
        return False
    if profile.target not in X86:
        return device.split("/")[0] in KERNEL_SECTIONS
    from migratable.commandline.kvm import cpu_is_open  # noqa: PLC0415 -- KVM alone

    return device == "cpu" and cpu_is_open(_line(profile.command_line))


def under_kvm(profile: Profile) -> bool:
    """Will an x86 machine run under KVM?"""
    return profile.target in X86 and (profile.accelerator == "kvm" or profile.stand_in)


def has_own_apic(profile: Profile) -> bool:
    """Is the APIC in the kernel (``kernel-irqchip=on`` or ``split``)?"""
    return _irqchip(profile) != "off"


def has_own_pit(profile: Profile) -> bool:
    """Are PIC and PIT in the kernel (``kernel-irqchip=on``)?"""
    return _irqchip(profile) == "on"


def _irqchip(profile: Profile) -> str:
    from migratable.commandline.kvm import irqchip  # noqa: PLC0415 -- KVM alone

    return irqchip(_line(profile.command_line), profile.machine)


def discards_ticks(profile: Profile) -> bool:
    """Does the kernel's PIT forget ticks that were not acknowledged?"""
    from migratable.commandline.line import global_of  # noqa: PLC0415 -- KVM alone

    named = [global_of(one) for one in _line(profile.command_line).all("global")]
    policies = [value for driver, name, value in named if _is_policy(driver, name)]
    return policies[-1:] == ["discard"]


def _is_policy(driver: str, name: str) -> bool:
    return driver == "kvm-pit" and name.replace("_", "-") == "lost-tick-policy"


def enforces_cpuid(profile: Profile) -> bool:
    """Does KVM look at the CPU's features before it takes its own MSRs?"""
    return _cpu_words(profile).get("kvm-pv-enforce-cpuid") is True


def has_feature(profile: Profile, name: str) -> bool:
    """Has the guest's CPU this feature of KVM, or ``x2apic``?

    TCG has none of them: there the command line tells.
    """
    if profile.stand_in:
        return _cpu_words(profile).has(name)
    return name in x86_features.features(profile.cpu_features)


def _cpu_words(profile: Profile) -> CpuWords:
    from migratable.commandline.kvm import CpuWords  # noqa: PLC0415 -- KVM alone

    return CpuWords.of(_line(profile.command_line))


@lru_cache(maxsize=64)
def _line(words: tuple[str, ...]) -> CommandLine:
    from migratable.commandline import CommandLine, parse  # noqa: PLC0415 -- KVM alone

    try:
        return parse(list(words), need_program=False)
    except CommandLineError:  # of a profile that somebody made
        return CommandLine(program=(), options=())
