"""A host's KVM facts: there and back, what damages them, and two hosts compared without either."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from migratable.check import check
from migratable.errors import ProfileError
from migratable.profile.host_kvm import CpuModel, HostKvm, read
from migratable.profile.model import Profile
from migratable.verdict import Severity
from tests import recorded

AES, PCLMULQDQ, SSE3 = 1 << 25, 1 << 1, 1 << 0


def _host(ecx: int, **models: CpuModel) -> HostKvm:
    return HostKvm(
        kernel="6.1.0",
        machine="x86_64",
        extensions={"MAX_VCPUS": 288, "TSC_CONTROL": 0},
        cpuid=((1, 0, 0, 0, 0, ecx, 0), (7, 0, 1, 0, 0x20, 0, 0)),
        msrs=(0x10, 0x4B564D03),
        feature_msrs={0x10A: 5},
        tsc_khz=2_500_000,
        xsave_bytes=4096,
        models=models,
    )


def _profile(seen: int, host: HostKvm, **altered: Any) -> Profile:
    """A recorded machine as if it had been taken under KVM on *host*; ECX of leaf 1 is *seen*."""
    name = next(one for one in recorded.names() if "q35" in one)
    found = recorded.profile(name)
    words = [dict(one) for one in found.cpu_features]
    for word in words:
        if word["cpuid-input-eax"] == 1 and word["cpuid-register"] == "ECX":
            word["features"] = seen
    return replace(
        found,
        cpu_features=tuple(words),
        accelerator="kvm",
        wants_kvm=True,
        host_kvm=host,
        **altered,
    )


def test_there_and_back() -> None:
    host = _host(AES, kvm64=CpuModel(features=("lm",)), Haswell=CpuModel(unavailable=("avx",)))
    profile = _profile(AES, host)
    assert Profile.loads(profile.dumps()).host_kvm == host
    assert Profile.loads(replace(profile, host_kvm=None).dumps()).host_kvm is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cpuid", [[1, 0, 0]]),
        ("cpuid", [[1, 0, 0, -1, 0, 0, 0]]),
        ("cpuid", 7),
        ("msrs", ["0x10"]),
        ("extensions", {"NR_VCPUS": True}),
        ("feature_msrs", {"ten": 1}),
        ("models", {"kvm64": {"features": [1]}}),
        ("tsc_khz", 1 << 64),
    ],
)
def test_damaged_facts_are_an_error(name: str, value: object) -> None:
    document = json.loads(_profile(AES, _host(AES)).dumps())
    document["host_kvm"][name] = value
    with pytest.raises(ProfileError, match="host_kvm: damaged"):
        Profile.from_json(document)
    del document["host_kvm"][name]
    with pytest.raises(ProfileError, match=f"host_kvm: damaged.*{name}"):
        Profile.from_json(document)


def test_feature_words_are_those_of_qom() -> None:
    words = _host(AES).feature_words
    assert {"cpuid-input-eax": 1, "cpuid-register": "ECX", "features": AES} in words
    expected = {
        "cpuid-input-eax": 7,
        "cpuid-input-ecx": 0,
        "cpuid-register": "EBX",
        "features": 0x20,
    }
    assert expected in words


def test_no_device_no_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migratable.profile.host_kvm._DEVICE", "/nonexistent/kvm")
    assert read() is None


def _endangers(source: Profile, destination: Profile) -> list[str]:
    name = next(one for one in recorded.names() if "q35" in one)
    verdict = check(recorded.source(name), destination, origin=source)
    return [
        f"{one.summary} {one.explanation}"
        for one in verdict.findings
        if one.rule == "cpu-features" and one.severity is Severity.ENDANGERS
    ]


def test_two_hosts_that_are_not_at_hand() -> None:
    whole = {
        "Nehalem": CpuModel(features=("a", "b", "c")),
        "kvm64": CpuModel(features=("a", "b")),
        "486": CpuModel(features=("a",)),
    }
    here = _host(AES | PCLMULQDQ | SSE3, **whole)
    there = _host(SSE3 | PCLMULQDQ, **{**whole, "Nehalem": CpuModel(unavailable=("aes",))})
    source = _profile(AES | PCLMULQDQ | SSE3, here)
    assert _endangers(source, source) == []
    (said,) = _endangers(source, _profile(SSE3, there, cpu_model="kvm64"))
    assert "lacks features of the source's: aes, pclmulqdq" in said
    assert "processor and kernel (6.1.0) lack: aes." in said
    assert "Only its CPU model lacks: pclmulqdq (-cpu kvm64,pclmulqdq=on)." in said
    assert "libvirt's names: pclmuldq for pclmulqdq." in said
    assert "The largest CPU model that both hosts have in full, for a new start: kvm64." in said


def test_tcg_in_the_place_of_kvm_is_no_witness() -> None:
    host = _host(AES)
    source = _profile(AES, host)
    stand_in = replace(_profile(0, host), accelerator="tcg", host_kvm=None)
    assert _endangers(source, stand_in) == []
    assert _endangers(replace(source, accelerator="tcg"), _profile(0, host)) == []
