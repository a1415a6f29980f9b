"""aarch64, s390x and riscv64 beside what their real QEMU did, and targets that were not audited."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from migratable.check import check
from migratable.hints import tried
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from migratable.rehearse import rehearse
from migratable.stream import Stream, read
from migratable.verdict import Outcome, Severity, Verdict
from tests.conftest import Lab

pytestmark = pytest.mark.real
RELEASES = ("5.2", "7.2", "10.0", "11.1")

MACHINES = {
    "aarch64-gicv2": (
        "aarch64",
        "-M virt,gic-version=2 -cpu cortex-a57 -smp 2 -m 256 -device virtio-net-pci "
        "-device virtio-scsi-pci -device virtio-rng-device -device qemu-xhci,id=x "
        "-device usb-kbd,bus=x.0 -device pcie-root-port,id=r",
    ),
    "aarch64-gicv3": (
        "aarch64",
        "-M virt,gic-version=3,iommu=smmuv3,virtualization=on -cpu max -m 256 -device e1000e "
        "-device virtio-gpu-pci -device virtio-serial-device",
    ),
    "aarch64-uefi": (
        "aarch64",
        "-M virt -cpu cortex-a72 -m 256 "
        "-drive if=pflash,format=raw,driver=null-co,size=64M,read-zeroes=on",
    ),
    "arm": ("arm", "-M virt -cpu cortex-a15 -m 256 -device virtio-blk-pci,drive=d "
            "-drive if=none,id=d,driver=null-co"),
    "s390x": (
        "s390x",
        "-M s390-ccw-virtio -smp 2 -m 256 -device virtio-net-ccw -device virtio-rng-ccw "
        "-device virtio-serial-ccw -device virtio-scsi-ccw,devno=fe.0.1234 "
        "-device virtio-blk-ccw,drive=d -drive if=none,id=d,driver=null-co "
        "-device virtio-balloon-ccw -device virtio-keyboard-ccw",
    ),
    "riscv64": (
        "riscv64",
        "-M virt -smp 2 -m 256 -device virtio-net-pci -device virtio-rng-device "
        "-device pcie-root-port,id=r",
    ),
}  # fmt: skip


def taken(lab: Lab, release: str, arch: str, text: str, stream: Stream | None = None) -> Profile:
    sizes = {} if stream is None else {one.id: one.used_length for one in stream.ram_blocks}
    words = [*lab(release, arch).command, *text.split(), "-nodefaults", "-display", "none"]
    return collect(words, ram_sizes=sizes)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("machine", MACHINES)
def test_own_stream(lab: Lab, machine: str, release: str) -> None:
    """A machine takes what it sends itself: predicted, and done when the profile was taken."""
    arch, text = MACHINES[machine]
    own = taken(lab, release, arch, text)
    assert own.stream
    assert own.refuses_itself == ()
    verdict = check(read(own.stream), own)
    assert (verdict.outcome, verdict.findings) == (Outcome.LOADS, ())


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A source and a destination by arch and words behind the program.

    :ivar rule: of the first refusal; empty: it loads.
    """

    arch: str
    source: tuple[str, str]
    destination: tuple[str, str]
    rule: str = ""


PAIRS = {
    "another Arm processor": Pair(
        arch="aarch64",
        source=("10.0", "-M virt -cpu cortex-a53"),
        destination=("10.0", "-M virt -cpu cortex-a57"),
        rule="cpu-identity",
    ),
    "another release's Arm processor": Pair(
        arch="aarch64",
        source=("7.2", "-M virt-7.2 -cpu cortex-a57"),
        destination=("10.0", "-M virt-7.2 -cpu cortex-a57"),
        rule="cpu-identity",
    ),
    "11.1 names the registers": Pair(
        arch="aarch64",
        source=("10.0", "-M virt-10.0 -cpu cortex-a57"),
        destination=("11.1", "-M virt-10.0 -cpu cortex-a57"),
        rule="cpu-identity",
    ),
    "a timer that an older release has not": Pair(
        arch="aarch64",
        source=("11.1", "-M virt-10.0 -cpu cortex-a72"),
        destination=("10.0", "-M virt-10.0 -cpu cortex-a72"),
        rule="layout",
    ),
    "fewer processors": Pair(
        arch="aarch64",
        source=("11.1", "-M virt -smp 4 -cpu cortex-a15"),
        destination=("11.1", "-M virt -smp 1 -cpu cortex-a15"),
    ),
    "another interrupt controller": Pair(
        arch="aarch64",
        source=("10.0", "-M virt,gic-version=3 -cpu cortex-a57"),
        destination=("10.0", "-M virt,gic-version=2 -cpu cortex-a57"),
        rule="unknown-section",
    ),
    "s390x goes between releases": Pair(
        arch="s390x",
        source=("5.2", "-M s390-ccw-virtio-5.2 -m 256 -device virtio-net-ccw"),
        destination=("10.0", "-M s390-ccw-virtio-5.2 -m 256 -device virtio-net-ccw"),
    ),
    "another address on the channel": Pair(
        arch="s390x",
        source=("10.0", "-M s390-ccw-virtio -m 256 -device virtio-rng-ccw,devno=fe.0.1111"),
        destination=("10.0", "-M s390-ccw-virtio -m 256 -device virtio-rng-ccw"),
        rule="unknown-section",
    ),
    "riscv64's processor has another version": Pair(
        arch="riscv64",
        source=("11.1", "-M virt -m 256"),
        destination=("7.2", "-M virt -m 256"),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs(lab: Lab, name: str) -> None:
    pair = PAIRS[name]
    stream = read(taken(lab, pair.source[0], pair.arch, pair.source[1]).stream)
    release, text = pair.destination
    predicted = check(stream, taken(lab, release, pair.arch, text, stream))
    line = [*lab(release, pair.arch).command, *text.split(), "-nodefaults", "-display", "none"]
    real = rehearse(stream, line)
    assert (predicted.outcome, said(predicted)) == (real.outcome, said(real))
    if pair.rule:
        assert predicted.first_refusal is not None
        assert predicted.first_refusal.rule == pair.rule


def said(verdict: Verdict) -> list[str]:
    return [line for line in verdict.stderr if "size of machine" not in line]


HINTS = {
    "processor": (
        "aarch64", "-M virt -m 256 -cpu cortex-a53", "-M virt -m 256 -cpu cortex-a57",
        "-cpu cortex-a53",
    ),
    "interrupt controller": (
        "aarch64", "-M virt,gic-version=3 -m 256 -cpu cortex-a57",
        "-M virt,gic-version=2 -m 256 -cpu cortex-a57", "gic-version=3",
    ),
    "memory of s390x": (
        "s390x", "-M s390-ccw-virtio -m 256", "-M s390-ccw-virtio -m 512", "-m 256M"
    ),
    "memory of riscv64": ("riscv64", "-M virt -m 256", "-M virt -m 512", "-m 256M"),
    "channel address": (
        "s390x", "-M s390-ccw-virtio -m 256 -device virtio-rng-ccw,devno=fe.0.1111",
        "-M s390-ccw-virtio -m 256 -device virtio-rng-ccw", "devno=fe.0.1111",
    ),
    "interrupt architecture": (
        "riscv64", "-M virt,aia=aplic -m 256", "-M virt -m 256", "aia=aplic"
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", HINTS)
def test_hints(lab: Lab, name: str) -> None:
    """Refused before; with the hint the real program loads it."""
    arch, source, destination, wanted = HINTS[name]
    stream = read(taken(lab, "10.0", arch, source).stream)
    words = [*lab("10.0", arch).command, *destination.split(), "-nodefaults", "-display", "none"]
    verdict = check(stream, taken(lab, "10.0", arch, destination, stream))
    assert verdict.outcome is Outcome.REFUSED
    found = tried(verdict, stream, words, budget_seconds=60.0)
    refusals = [one for one in found.findings if one.severity is Severity.REFUSES]
    commands = [hint.command for one in refusals for hint in one.hints if hint.command]
    assert wanted in commands[0]
    assert rehearse(stream, commands[0]).outcome is Outcome.LOADS


@pytest.mark.parametrize(
    ("release", "arch", "text"),
    [("5.2", "alpha", "-M clipper"), ("7.2", "hppa", "-M hppa"), ("7.2", "loongarch64", "-M virt")],
)
def test_a_target_that_was_not_audited(lab: Lab, release: str, arch: str, text: str) -> None:
    own = taken(lab, release, arch, text)
    if own.stream:  # 7.2's loongarch64 cannot save itself
        assert check(read(own.stream), own).outcome is Outcome.UNKNOWN
