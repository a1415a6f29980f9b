"""What a profile that TCG took in the place of KVM leaves to the destination's KVM."""

from __future__ import annotations

from migratable.commandline.kvm import X86
from migratable.profile.model import Profile
from migratable.verdict import Finding

_OWN_CPU = "-cpu"


def undecided(first: Finding | None, profile: Profile) -> list[str]:
    """Reasons, naming KVM, for which nothing can be said; none for a refusal that stands."""
    if first is not None and not doubtful(first, profile):
        return []
    return [f"the destination's KVM, which was not at hand: {one}" for one in profile.kvm_decides]


def doubtful(first: Finding, profile: Profile) -> bool:
    """Whether this refusal may be TCG's alone: of the CPU's section, of another processor.

    On targets that are no PC KVM also has interrupt controllers and timers of its own.
    """
    if not profile.stand_in or not profile.kvm_decides or first.device is None:
        return False
    if profile.target not in X86:
        return first.device.split("/")[0] in _KERNELS
    return first.device == "cpu" and any(_OWN_CPU in one for one in profile.kvm_decides)


_KERNELS = frozenset(
    {"cpu", "arm_gic", "arm_gicv3", "arm_gicv3_its", "icp", "ics", "xive", "s390-flic", "timebase"}
)
