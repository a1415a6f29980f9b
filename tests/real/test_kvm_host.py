"""The facts of a host's KVM against QEMU's own behaviour on that host."""

from __future__ import annotations

import pytest

from migratable.check import x86_features
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from tests.conftest import Lab

pytestmark = pytest.mark.real


@pytest.mark.parametrize("release", ["5.2", "7.2", "10.0", "11.1"])
def test_facts_of_the_host(release: str, lab: Lab, kvm: None) -> None:
    """What the kernel says is what QEMU works with: no feature is seen that KVM has not."""
    line = [*lab(release).command, "-M", "q35,accel=kvm", "-cpu", "qemu64", "-nodefaults"]
    profile = collect(line)
    host = profile.host_kvm
    assert host is not None
    assert host.kernel == profile.kernel
    assert host.extensions["IRQCHIP"] == 1
    assert 0 < host.extensions["NR_VCPUS"] <= host.extensions["MAX_VCPUS"]
    assert host.tsc_khz > 100_000
    assert 0x4B564D03 in host.msrs
    has = x86_features.features(host.feature_words)
    seen = x86_features.features(profile.cpu_features)
    # QEMU adds these itself (kvm_arch_get_supported_cpuid), or takes them from the CPU model alone.
    assert seen - has <= {"hypervisor", "x2apic", "tsc-deadline", "ht", "svm"}
    assert len(host.models) > 80
    for name, one in host.models.items():
        assert not (one.unavailable and one.features), name
        lacking = {feature for feature in one.unavailable if feature in x86_features.names()}
        assert not lacking & has, name
    assert Profile.loads(profile.dumps()).host_kvm == host
    tcg = collect([*lab(release).command, "-M", "q35", "-nodefaults"])
    assert tcg.host_kvm is None
