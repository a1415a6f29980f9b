"""What a destination's command line says of its KVM; registers of PCI; bytes behind a section."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import command_line, kvm, pci, x86_features
from migratable.check.events import StreamLoaded
from migratable.check.following import following_bytes
from migratable.check.problem import Problem
from migratable.check.rules import kvm_host
from migratable.profile.host_kvm import HostKvm
from migratable.profile.model import Profile
from migratable.stream.edit import make_stream
from tests import recorded
from tests.unit.check.bodies import body, profile


def line(words: str, target: str = "x86_64", wants: bool = True, **more: object) -> Profile:
    given = tuple(words.split())
    to = profile("10.0.13", target, command_line=given, wants_kvm=wants, **more)
    return replace(to, kvm_decides=("its CPUID",))


# -uuid


@pytest.mark.parametrize(
    ("words", "uuid"),
    [("-uuid a-b", "a-b"), ("-m 1G --uuid c", "c"), ("-m uuid", None), ("-uuid", None)],
)
def test_uuid(words: str, uuid: str | None) -> None:
    assert command_line.uuid(line(words)) == uuid


def test_a_configuration_is_expected_unless_it_is_off() -> None:
    assert command_line.configured(line("-global migration.send-configuration=on"))
    assert not command_line.configured(line("-global migration.send-configuration=off"))


# refusals of TCG that may not be KVM's


@pytest.mark.parametrize(
    ("device", "target", "words", "doubt"),
    [
        ("cpu", "x86_64", "-cpu host", True),
        ("cpu", "x86_64", "-cpu qemu64", False),
        ("timer", "x86_64", "-cpu host", False),
        (None, "x86_64", "-cpu host", False),
        ("arm_gicv3", "aarch64", "-cpu host", True),
        ("icp/1", "ppc64", "-cpu host", True),
        ("1/icp", "ppc64", "-cpu host", False),
        ("virtio-net", "aarch64", "-cpu host", False),
    ],
)
def test_a_refusal_that_may_be_tcgs(
    device: str | None, target: str, words: str, doubt: bool
) -> None:
    to = line(words, target)
    assert kvm.doubtful(to, device) is doubt
    reasons = kvm.undecided(to, refused=True, device=device)
    assert (reasons != []) is doubt
    assert kvm.undecided(to, refused=False, device=None) == [
        "the destination's KVM, which was not tested: its CPUID"
    ]
    for settled in (replace(to, accelerator="kvm"), replace(to, kvm_decides=())):
        assert not kvm.doubtful(settled, device)


@pytest.mark.parametrize(
    ("target", "wants", "accelerator", "under"),
    [
        ("x86_64", True, "tcg", True),
        ("i386", True, "kvm", True),
        ("x86_64", False, "kvm", True),
        ("x86_64", False, "tcg", False),
        ("aarch64", True, "kvm", False),
    ],
)
def test_under_kvm(target: str, wants: bool, accelerator: str, under: bool) -> None:
    assert kvm.under_kvm(line("", target, wants, accelerator=accelerator)) is under


@pytest.mark.parametrize(
    ("words", "apic", "pit"),
    [
        ("-machine q35,kernel-irqchip=on", True, True),
        ("-machine q35,kernel-irqchip=split", True, False),
        ("-machine q35,kernel-irqchip=off", False, False),
    ],
)
def test_interrupt_controllers_in_the_kernel(words: str, apic: bool, pit: bool) -> None:
    to = line(words)
    assert (kvm.has_own_apic(to), kvm.has_own_pit(to)) == (apic, pit)


@pytest.mark.parametrize(
    ("words", "discards"),
    [
        ("-global kvm-pit.lost_tick_policy=discard", True),
        ("-global kvm-pit.lost-tick-policy=discard", True),
        ("-global kvm-pit.lost_tick_policy=discard -global kvm-pit.lost_tick_policy=delay", False),
        ("-global kvm-pit.lost_tick_policy=delay -global kvm-pit.lost_tick_policy=discard", True),
        ("-global isa-pit.lost_tick_policy=discard", False),
        ("-global kvm-pit.x=discard", False),
        ("-m 1G", False),
    ],
)
def test_ticks_that_were_lost(words: str, discards: bool) -> None:
    assert kvm.discards_ticks(line(words)) is discards


def test_features_of_kvm() -> None:
    assert kvm.enforces_cpuid(line("-cpu host,kvm-pv-enforce-cpuid=on"))
    assert not kvm.enforces_cpuid(line("-cpu host"))
    assert kvm.has_feature(line("-cpu qemu64,+x2apic"), "x2apic")
    assert not kvm.has_feature(line("-cpu qemu64,-x2apic"), "x2apic")
    real = line("-cpu qemu64,+x2apic", accelerator="kvm")
    assert not kvm.has_feature(real, "x2apic")  # the program's own words tell


def test_a_command_line_that_is_none() -> None:
    assert not kvm.discards_ticks(profile(command_line=("",)))


# registers of PCI configuration space


def test_registers() -> None:
    device, bridge = bytearray(256), bytearray(256)
    bridge[0x0E] = 1
    multifunction = bytearray(256)
    multifunction[0x0E] = 0x80
    assert pci.register(bytes(device), 0x18) != pci.register(bytes(bridge), 0x18)
    assert pci.register(bytes(multifunction), 0x18) == pci.register(bytes(device), 0x18)
    assert pci.register(bytes(0x0E), 0x18) == pci.register(bytes(device), 0x18)
    assert pci.register(bytes(device), 0x40) == "register 0x40"
    assert pci.register(bytes(device), 0x3F) != "register 0x3f"
    device[0x06], device[0x34] = 0x10, 0x40
    device[0x40:0x42] = bytes([0x05, 0])
    assert pci.register(bytes(device), 0x42).startswith("MSI")
    extended = bytearray(4096)
    extended[0x100:0x104] = (1 | 1 << 16).to_bytes(4, "little")  # advanced error reporting
    for offset in (0x100, 0x104):
        place = pci.place(bytes(extended), offset)
        assert place is not None
        assert (place.extended, place.at) == (True, 0x100)
    assert pci.place(bytes(extended), 0xFF) is None


# what a loader reads that goes on beyond a section


def test_behind_the_last_section_are_its_end_and_its_description() -> None:
    stream = recorded.source("q35-10.0")
    sections = stream.sections
    assert stream.vmdesc is not None
    raw = stream.vmdesc.raw
    found = following_bytes(stream, sections, len(sections) - 1)
    assert found == b"\0\x06" + len(raw).to_bytes(4, "big") + raw
    assert following_bytes(make_stream(None, []), (), 0) == b"\0"


# features of x86 processors


def words(value: int, **more: object) -> tuple[dict[str, object], ...]:
    """A word as ``query feature-words`` has it: CPUID leaf 1, ECX."""
    word = {"cpuid-input-eax": 1, "cpuid-register": "ECX", "features": value, **more}
    return ({"features": "no number"}, word)


def test_features_of_cpuid_words() -> None:
    assert x86_features.features(words(1 << 21)) == {"x2apic"}
    assert x86_features.features(words(1)) == {"pni"} & x86_features.names()
    assert x86_features.features(words(0)) == frozenset()
    assert x86_features.features(words(1 << 21, **{"cpuid-register": "EDX"})) != {"x2apic"}


def test_features_whose_loss_a_guest_notices() -> None:
    assert x86_features.decisive(["x2apic", "avx512f", "mds-no"]) == ("avx512f", "x2apic")


# kvm-host

CPU = body("cpu", subsections=[body("cpu/tsc_khz", {"env.tsc_khz": 4_000_000})])


@pytest.mark.parametrize(
    ("cpus", "host", "said"),
    [
        (2, HostKvm(extensions={"MAX_VCPUS": 2}), 0),
        (3, HostKvm(extensions={"MAX_VCPUS": 2}), 1),
        (3, HostKvm(), 0),
        (1, HostKvm(tsc_khz=4_001_000), 0),  # 250 parts in a million
        (1, HostKvm(tsc_khz=4_001_001), 1),
        (1, HostKvm(tsc_khz=4_001_001, extensions={"TSC_CONTROL": 1}), 0),
        (1, HostKvm(tsc_khz=3_998_999), 1),
    ],
)
def test_what_the_hosts_kvm_takes(cpus: int, host: HostKvm, said: int) -> None:
    def of(accelerator: str) -> list[Problem]:
        to = profile("10.0.13", "x86_64", accelerator=accelerator, host_kvm=host)
        return list(kvm_host.check(StreamLoaded(release=(10, 0), profile=to, cpus=[CPU] * cpus)))

    assert len(of("kvm")) == said
    assert not any(problem.refuses for problem in of("kvm"))
    assert of("tcg") == []
