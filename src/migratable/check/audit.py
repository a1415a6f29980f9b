"""Is the code of a destination's target known, and its accelerator?"""

from __future__ import annotations

from migratable.facts import targets
from migratable.profile.model import Profile
from migratable.unchecked import Code, Unchecked


def accelerator(profile: Profile) -> tuple[Unchecked, ...]:
    """Why no section is judged by this profile; empty where its accelerator stands for the real."""
    reasons = (
        targets.other_accelerator(
            profile.target, wants_kvm=profile.wants_kvm, accelerator=profile.accelerator
        ),
        targets.under_kvm(profile.target, profile.accelerator),
    )
    return tuple(Unchecked(reason, Code.KVM) for reason in reasons if reason is not None)


def whole(profile: Profile) -> tuple[Unchecked, ...]:
    """Why nothing is said to load on this destination, whatever its tables say."""
    reasons = []
    if profile.refuses_itself:
        lines = "; ".join(profile.refuses_itself)
        text = f"the destination refuses even its own stream: {lines}"
        reasons.append(Unchecked(text, Code.PROFILE))
    if not targets.audited(profile.target):
        reasons.append(Unchecked(targets.unaudited(profile.target), Code.TARGET))
    return tuple(reasons)
