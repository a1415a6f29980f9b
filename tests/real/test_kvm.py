"""Under KVM: what the host's kernel has a say in is asked of the kernel."""

from __future__ import annotations

import pytest

from migratable.check import check, not_started
from migratable.commandline import CommandLine, parse
from migratable.errors import CommandLineError, DestinationStartError
from migratable.profile.collect import collect
from migratable.profile.model import Profile
from migratable.rehearse import rehearse
from migratable.stream import read
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
    return collect(line(lab, release, options), vmstate=False)


def answers(source: Profile, lab: Lab, release: str, options: str) -> tuple[Verdict, Verdict]:
    """What check and rehearse say."""
    stream = read(source.stream)
    to = line(lab, release, options)
    try:
        predicted = check(stream, collect(to, vmstate=False))
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
