"""``rules/cpu_features``: what a guest uses, or was shown, and loses (Intel SDM vol. 3A, 2.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from migratable.check.events import StreamLoaded
from migratable.check.rules.cpu_features import RULE
from migratable.check.state import LoadedState
from migratable.profile.host_kvm import CpuModel, HostKvm
from migratable.profile.model import Profile
from tests.unit.check.bodies import body, profile

AES, PCLMULQDQ, XSAVE, AVX = 1 << 25, 1 << 1, 1 << 26, 1 << 28


def machine(ecx: int, **more: object) -> Profile:
    """A PC with these features of CPUID leaf 1, ECX."""
    word = {"cpuid-input-eax": 1, "cpuid-register": "ECX", "features": ecx}
    values = {"cpu_features": (word,), "cpu_model": "Nehalem", **more}
    return profile("10.0.13", "x86_64", **values)


def said(
    to: Profile,
    cpus: Sequence[LoadedState | Mapping[str, int]] = (),
    origin: Profile | None = None,
) -> list[tuple[str, str]]:
    states = [one if isinstance(one, LoadedState) else body("cpu", one) for one in cpus]
    event = StreamLoaded(release=(10, 0), profile=to, cpus=states, origin=origin)
    problems = list(RULE.check(event))
    assert not any(problem.refuses for problem in problems)
    return [(problem.summary.rpartition(": ")[2], problem.explanation) for problem in problems]


@pytest.mark.parametrize(
    ("register", "value", "used"),
    [
        ("env.cr[4]", 1 << 18, "xsave (CR4.OSXSAVE)"),
        ("env.cr[4]", 1 << 20, "smep (CR4.SMEP)"),
        ("env.cr[4]", 1 << 32, "fred (CR4.FRED)"),
        ("env.xcr0", 1 << 2 | 1 << 9, "avx (XCR0.AVX), pku (XCR0.PKRU)"),
        ("env.efer", 1 << 12, "svm (EFER.SVME)"),
        ("env.efer", 1 << 8, ""),  # LME: every such CPU has it
    ],
)
def test_what_the_registers_show(register: str, value: int, used: str) -> None:
    assert [text for text, _ in said(machine(0), [{register: value}])] == ([used] if used else [])


def test_what_subsections_show() -> None:
    """One of several features is enough."""
    sent = [body("cpu", subsections=[body("cpu/spec_ctrl"), body("cpu/pkru")])]
    ((text, _),) = said(machine(0), sent)
    assert text == "pku (cpu/pkru), spec-ctrl (cpu/spec_ctrl)"
    ssbd = {"cpuid-input-eax": 7, "cpuid-input-ecx": 0, "cpuid-register": "EDX"}
    to = machine(0, cpu_features=({**ssbd, "features": 1 << 31},))
    assert [text for text, _ in said(to, sent)] == ["pku (cpu/pkru)"]


def test_each_feature_is_named_once_for_all_cpus() -> None:
    cpus = [{"env.xcr0": 4}, {"env.xcr0": 4, "env.cr[4]": 1 << 18}]
    ((text, _),) = said(machine(0), cpus)
    assert text == "avx (XCR0.AVX), xsave (CR4.OSXSAVE)"


def test_only_an_x86_has_such_features() -> None:
    assert said(replace(machine(0), target="aarch64"), [{"env.xcr0": 4}]) == []
    assert said(replace(machine(0), target="i386"), [{"env.xcr0": 4}]) != []


def test_without_its_own_cpuid_nothing_is_said() -> None:
    """TCG in KVM's place has other features, on either side."""
    assert said(machine(0, cpu_features=()), [{"env.xcr0": 4}]) == []
    assert said(machine(0, wants_kvm=True), [{"env.xcr0": 4}]) == []
    assert said(machine(0), origin=machine(AES, wants_kvm=True)) == []
    assert said(machine(0), origin=machine(0, cpu_features=())) == []


def test_what_the_source_has_and_the_guest_may_use() -> None:
    """Of what is in use by its registers, and lacks on the source too, nothing is lost."""
    to, origin = machine(AVX), machine(AVX | AES | PCLMULQDQ)
    assert [text for text, _ in said(to, origin=origin)] == ["aes, pclmulqdq"]
    assert said(origin, origin=to) == []
    both = said(machine(0), [{"env.xcr0": 4}], machine(AVX | AES))
    assert [text for text, _ in both] == ["avx (XCR0.AVX)", "aes"]
    assert said(machine(0), [{"env.xcr0": 4}], machine(0)) == []
    hypervisor = machine(1 << 31)
    assert said(machine(0), origin=hypervisor) == []


# why, on a host whose KVM was asked


def host(ecx: int = 0, **models: CpuModel) -> HostKvm:
    return HostKvm(kernel="6.1", cpuid=((1, 0, 0, 0, 0, ecx, 0),), models=models)


def explained(kvm: HostKvm | None, there: HostKvm | None = None) -> str:
    """Of a guest that uses AES and XSAVE on a destination that has neither."""
    to = machine(0, accelerator="kvm", wants_kvm=True, host_kvm=kvm)
    origin = machine(AES | XSAVE, accelerator="kvm", wants_kvm=True, host_kvm=there)
    ((_, text),) = said(to, origin=origin)
    start = "QEMU does not compare CPUID: it loads the guest without a message, and the next such "
    assert text.startswith(f"{start}instruction is invalid on this Nehalem.")
    return text.partition("Nehalem.")[2].strip()


def test_who_lacks_it() -> None:
    assert explained(None) == explained(HostKvm(kernel="6.1")) == ""
    assert explained(host()) == "The destination's processor and kernel (6.1) lack: aes, xsave."
    assert explained(host(AES | XSAVE)) == (
        "Only its CPU model lacks: aes, xsave (-cpu Nehalem,aes=on,xsave=on)."
    )
    assert explained(host(AES)) == (
        "The destination's processor and kernel (6.1) lack: xsave. "
        "Only its CPU model lacks: aes (-cpu Nehalem,aes=on)."
    )


def test_a_cpu_without_a_model_is_a_cpu() -> None:
    ((_, text),) = said(machine(0, cpu_model=""), [{"env.xcr0": 4}])
    assert text.endswith("is invalid on this CPU.")


def test_names_that_libvirt_has_of_its_own() -> None:
    to = machine(0, accelerator="kvm", wants_kvm=True, host_kvm=host())
    ((_, text),) = said(to, origin=machine(1))  # pni: SSE3
    assert text.endswith("lack: pni.")
    ((_, text),) = said(to, origin=machine(PCLMULQDQ))  # cpu_map/x86_features.xml
    assert text.endswith("lack: pclmulqdq. libvirt's names: pclmuldq for pclmulqdq.")


BIG, SMALL = CpuModel(features=("a", "b")), CpuModel(features=("c",))


@pytest.mark.parametrize(
    ("there", "advice"),
    [
        (None, "the destination's host has in full, for a new start: Big or Same"),
        (host(), "the destination's host has in full, for a new start: Big or Same"),
        (host(Big=BIG), "both hosts have in full, for a new start: Big"),
        (host(Small=SMALL, Big=CpuModel(features=("a", "b"), unavailable=("a",))), "Small"),
        (host(Other=BIG), ""),
    ],
)
def test_the_largest_model_of_both(there: HostKvm | None, advice: str) -> None:
    here = host(
        Small=SMALL, Same=BIG, Big=BIG, Lacks=CpuModel(features=("a", "b", "c"), unavailable=("a",))
    )
    text = explained(replace(here, models={**here.models, "Unknown": CpuModel()}), there)
    assert ("largest CPU model" in text) == bool(advice)
    assert not advice or text.endswith(f"{advice}.")
    # A host that has all the features needs no smaller model.
    assert "largest" not in explained(
        replace(here, cpuid=((1, 0, 0, 0, 0, AES | XSAVE, 0),)), there
    )
