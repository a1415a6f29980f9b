"""Under KVM: what the host's kernel has a say in is asked of the kernel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migratable.check import check, not_started
from migratable.commandline import CommandLine, parse
from migratable.errors import CommandLineError, DestinationStartError
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from migratable.qemu import accelerator
from migratable.rehearse import rehearse
from migratable.stream import Section, Stream, read
from migratable.stream.edit import append_section, free_section_id, full_section, map_sections
from migratable.verdict import Outcome, Verdict
from tests.conftest import Lab

pytestmark = pytest.mark.real
RELEASES = ("5.2", "7.2", "10.0", "11.1")
FORMS = (
    "-accel kvm",
    "-enable-kvm",
    "-machine pc-q35-5.2,accel=kvm",
    "-machine pc-q35-5.2,accel=kvm:tcg",
    "-accel kvm -accel tcg",
    "-machine pc-q35-5.2,accel=tcg -enable-kvm",
)


def line(lab: Lab, release: str, options: str) -> CommandLine:
    """A small q35 machine of a lab release."""
    machine = "" if "pc-" in options or "microvm" in options else "-machine pc-q35-5.2"
    return parse([*lab(release).command, *f"-m 64 -net none {machine} {options}".split()])


def profile(lab: Lab, release: str, options: str) -> Profile:
    """Its profile."""
    return collect(line(lab, release, options))


def answers(source: Profile, lab: Lab, release: str, options: str) -> tuple[Verdict, Verdict]:
    """What check and rehearse say."""
    stream = read(source.stream)
    to = line(lab, release, options)
    try:
        predicted = check(stream, collect(to))
    except DestinationStartError as error:
        predicted = not_started(error.stderr, stream=stream, only_kvm=error.only_kvm)
    return predicted, rehearse(stream, to)


@pytest.mark.usefixtures("kvm")
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("form", FORMS)
def test_every_way_to_ask_for_kvm(lab: Lab, release: str, form: str) -> None:
    found = profile(lab, release, form)
    assert found.accelerator == "kvm"
    assert read(found.stream).device("kvmclock") is not None
    for seen in answers(found, lab, release, form):
        assert seen.outcome is Outcome.LOADS
        assert seen.destination["accelerator"] == "kvm"


@pytest.mark.usefixtures("kvm")
@pytest.mark.parametrize("options", ["-accel tcg", "-machine pc-q35-5.2,accel=tcg:kvm", ""])
def test_a_line_without_kvm_stays_under_tcg(lab: Lab, options: str) -> None:
    source = profile(lab, "7.2", "-accel kvm")
    for seen in answers(source, lab, "7.2", options):
        assert seen.destination["accelerator"] == "tcg"
        assert seen.first_refusal is not None
        assert seen.first_refusal.device == "kvmclock"


@pytest.mark.usefixtures("kvm")
@pytest.mark.parametrize("release", RELEASES)
def test_what_kvm_does_not_start_is_refused(lab: Lab, release: str) -> None:
    source = profile(lab, release, "-accel kvm")
    options = "-accel kvm -device intel-iommu,intremap=on"
    said = "Interrupt Remapping cannot work with kernel-irqchip=on, please use 'split|off'."
    for seen in answers(source, lab, release, options):
        assert seen.outcome is Outcome.REFUSED
        assert seen.first_refusal is not None
        assert seen.first_refusal.rule == "destination-start"
        assert seen.first_refusal.message.endswith(said)


@pytest.mark.usefixtures("no_kvm")
@pytest.mark.parametrize("form", FORMS)
def test_without_kvm_a_rehearsal_proves_nothing(lab: Lab, form: str) -> None:
    source = profile(lab, "7.2", form)
    assert source.accelerator == "tcg"
    assert source.wants_kvm
    seen = rehearse(read(source.stream), line(lab, "7.2", form))
    assert seen.outcome is Outcome.UNKNOWN
    assert "KVM" in seen.unchecked[0]
    with pytest.raises(CommandLineError, match="--alive: the command line asks for KVM"):
        rehearse(read(source.stream), line(lab, "7.2", form), watch=1.0)


def without_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "DEVICE", "/nonexistent/kvm")


# What TCG in the place of KVM says must be what KVM says: these machines and releases were not
# all measured when the model was written.
MACHINES = (
    "-machine pc-q35-5.2 -cpu qemu64 -smp 2",
    "-machine microvm",
    "-machine microvm,rtc=on,pit=off",
    "-machine isapc -cpu 486",
    "-machine pc-i440fx-5.1 -cpu qemu64,-kvmclock",
    "-machine pc-i440fx-5.1 -cpu base",
    "-machine pc-i440fx-4.2 -cpu kvm64,kvm=off",
    "-machine pc-i440fx-2.1",
    "-machine pc-q35-4.2 -cpu core2duo",
    "-machine pc-q35-5.2,kernel_irqchip=split -device intel-iommu",
)


@pytest.mark.usefixtures("kvm")
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("options", MACHINES)
def test_a_stand_in_has_the_sections_of_kvm(
    lab: Lab, release: str, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = f"{options} -accel kvm"
    try:
        real = profile(lab, release, asked)
    except DestinationStartError as error:
        pytest.skip(f"QEMU {release} does not start this machine: {error.stderr[-1:]}")
    without_kvm(monkeypatch)
    stand_in = profile(lab, release, asked)
    assert (real.stand_in, stand_in.stand_in) == (False, True)
    assert [one.idstr for one in sections(real)] == [one.idstr for one in sections(stand_in)]
    assert real.loader is not None
    assert stand_in.loader is not None
    names = [sorted(h.idstr for h in p.loader.handlers) for p in (real, stand_in) if p.loader]
    assert names[0] == names[1]
    # Also of isapc, which 5.2 and 7.2 abort on: an assertion of theirs.
    own = check(read(real.stream), real)
    for stream, to in ((real.stream, stand_in), (stand_in.stream, real)):
        seen = check(read(stream), to)
        assert seen.outcome is own.outcome
        assert seen.first_refusal == own.first_refusal


def sections(found: Profile) -> list[Section]:
    return list(read(found.stream).devices)


STARTS = (
    "-accel kvm,dirty-ring-size=4096",
    "-accel kvm,nosuch=1",
    "-accel kvm -icount 1",
    "-accel kvm,kernel-irqchip=off",
    "-accel kvm,kernel-irqchip=off -smp 2 -cpu 486",
    "-accel kvm,kernel-irqchip=off -cpu 486",
    "-accel kvm -device intel-iommu,intremap=on",
    "-accel kvm -device amd-iommu,intremap=on",
    "-accel kvm,kernel-irqchip=split -device amd-iommu,intremap=on",
    "-machine pc-q35-5.2,accel=kvm,kernel_irqchip=split -device intel-iommu,intremap=on,eim=on",
    "-accel kvm,kernel-irqchip=off -cpu 486 -device intel-iommu,intremap=on,eim=on",
)


@pytest.mark.usefixtures("kvm")
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("options", STARTS)
def test_a_stand_in_knows_what_does_not_start(
    lab: Lab, release: str, options: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = profile(lab, release, "-accel kvm -cpu 486")
    real = answers(source, lab, release, options)[1]
    without_kvm(monkeypatch)
    for seen in answers(source, lab, release, options):
        if seen.outcome is Outcome.UNKNOWN:
            assert "KVM" in seen.unchecked[0]
            continue
        assert seen.outcome is real.outcome
        if real.first_refusal is not None and real.first_refusal.rule == "destination-start":
            assert seen.first_refusal is not None
            assert seen.first_refusal.message == real.first_refusal.message


def x2apic(stream: Stream) -> Stream:
    """The same guest with its APICs in x2APIC mode (bit 10 of the base address)."""

    def moded(section: Section) -> Section:
        if section.idstr != "apic":
            return section
        body = bytearray(bytes(section.body))
        body[2] |= 4
        return replace(section, body=bytes(body))

    return map_sections(stream, moded)


def unknown(stream: Stream) -> Stream:
    """The same with a section at its end that no destination has."""
    number = free_section_id(stream)
    return append_section(stream, full_section("nosuch", 0, 1, bytes(4), section_id=number))


REGISTERS = (
    (x2apic, "-cpu qemu64,-x2apic"),
    (x2apic, "-cpu qemu64"),
    (x2apic, "-cpu qemu64,-x2apic,-mce"),
    (unknown, "-cpu qemu64,-mce"),
    (lambda stream: unknown(x2apic(stream)), "-cpu qemu64,-x2apic"),
    (lambda stream: stream, "-cpu qemu64,-mce"),
    (lambda stream: stream, "-cpu qemu64,-mca"),
    (lambda stream: stream, "-cpu qemu32"),
    (lambda stream: stream, "-cpu 486"),
    (x2apic, "-cpu base"),
)


@pytest.mark.usefixtures("kvm")
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("case", range(len(REGISTERS)))
def test_registers_that_kvm_does_not_take(
    lab: Lab, release: str, case: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, options = REGISTERS[case]
    stream = change(read(profile(lab, release, "-accel kvm -cpu qemu64").stream))
    to = line(lab, release, f"-accel kvm {options}")
    real = rehearse(stream, to)
    predicted = check(stream, collect(to))
    without_kvm(monkeypatch)
    stood_in = check(stream, collect(to))
    for seen in (predicted, stood_in):
        assert seen.outcome is real.outcome
        if seen.first_refusal is not None and real.first_refusal is not None:
            assert seen.first_refusal.message == real.first_refusal.message
    assert predicted.stderr == real.stderr


@pytest.mark.usefixtures("kvm")
@pytest.mark.parametrize("release", ["5.2", "11.1"])
def test_a_machine_that_may_not_be_saved_takes_streams(lab: Lab, release: str) -> None:
    source = profile(lab, release, "-accel kvm -cpu qemu64")
    options = "-accel kvm -cpu qemu64,+invtsc"
    assert "invtsc" in profile(lab, release, options).no_stream
    for seen in answers(source, lab, release, options):
        assert seen.outcome is Outcome.LOADS
