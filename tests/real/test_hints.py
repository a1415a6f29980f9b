"""Remedies that were tried, by the real program: refused before, loaded with the hint."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from migratable.check import check, not_started
from migratable.cli.check import command as check_command
from migratable.cli.rehearse import command as rehearse_command
from migratable.commandline import CommandLine, parse
from migratable.errors import DestinationStartError
from migratable.hints import tried
from migratable.profile.collect import collect
from migratable.rehearse import rehearse
from migratable.rehearse.way_back import Home
from migratable.stream import Stream, read, write
from migratable.verdict import Basis, Outcome, Side, Verdict
from tests.absent import absent
from tests.conftest import Lab
from tests.real.hint_cases import CASES, PSERIES, Q35, Case

pytestmark = [pytest.mark.real, pytest.mark.slow]
SECONDS = 30.0  # the machine has other work; what is tested is not how fast it is


def arguments(lab: Lab, release: str, text: str) -> list[str]:
    arch = "ppc64" if "pseries" in text else "x86_64"
    (program,) = lab(release, arch).command
    words = text.split()
    if not words[0].startswith("-"):
        program = str(Path(program).with_name(words.pop(0)))
        if not Path(program).exists():
            absent(f"{program} is not in the lab")
    return [program, *words, "-nodefaults", "-display", "none"]


def saved(lab: Lab, release: str, text: str) -> Stream:
    """The stream of a machine that has not run."""
    return read(collect(arguments(lab, release, text), ram_sizes={}).stream or b"")


def judged(stream: Stream, line: list[str]) -> Verdict:
    sizes = {one.id: one.used_length for one in stream.ram_blocks}
    try:
        return check(stream, collect(line, ram_sizes=sizes))
    except DestinationStartError as error:
        return not_started(error.stderr, stream=stream)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_remedy_is_found_and_loads(lab: Lab, case: Case) -> None:
    stream = saved(lab, *case.source)
    line = arguments(lab, *case.destination)
    verdict = judged(stream, line)
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.rule == case.rule

    found = tried(verdict, stream, line, budget_seconds=SECONDS)
    (hint, *_) = found.refusals[0].hints
    assert hint.verified is Basis.REHEARSED
    assert hint.side is Side.DESTINATION
    assert hint.command is not None
    words = shlex.split(hint.command)
    assert words != line
    assert case.fix in " ".join(words)
    assert case.fix not in " ".join(line) or not case.fix
    if case.without:
        assert case.without in " ".join(line)
        assert case.without not in " ".join(words)

    # the real program refuses the one line and takes the other
    assert rehearse(stream, line).outcome is Outcome.REFUSED
    assert rehearse(stream, words).outcome is Outcome.LOADS


@pytest.mark.parametrize(
    ("source", "destination", "fix"),
    [
        ("-smp 4", "-smp 2", "-smp 4"),  # no prediction is possible: the program itself is asked
        ("-machine virtualization=on", "", "virtualization=on"),
    ],
)
def test_arms_virt(lab: Lab, source: str, destination: str, fix: str) -> None:
    plain = "-M virt-7.2 -m 64 -cpu cortex-a53 -nodefaults -display none"
    program = [*lab("7.2", "aarch64").command, *plain.split()]
    stream = read(collect([*program, *source.split()]).stream or b"")
    line = [*program, *destination.split()]
    found = tried(rehearse(stream, line), stream, line, budget_seconds=SECONDS)
    (hint, *_) = found.refusals[0].hints
    assert hint.verified is Basis.REHEARSED
    assert fix in (hint.command or "")
    assert rehearse(stream, shlex.split(hint.command or "")).outcome is Outcome.LOADS


def test_the_rest_of_the_line_stays(lab: Lab) -> None:
    stream = saved(lab, "5.2", f"{Q35} -device i6300esb,addr=7 -device e1000,addr=4")
    text = f"{Q35} -smp 1,maxcpus=2 -device e1000,addr=4 -rtc base=utc -name guest=x"
    line = arguments(lab, "10.0", text)
    found = tried(judged(stream, line), stream, line, budget_seconds=SECONDS)
    (hint, *_) = found.refusals[0].hints
    assert hint.command is not None
    assert shlex.split(hint.command)[: len(line)] == line


def test_several_causes_are_removed_together(lab: Lab) -> None:
    stream = saved(lab, "5.2", "-M pc-q35-5.2 -m 96 -smp 2 -device i6300esb,addr=7")
    line = arguments(lab, "10.0", Q35)
    found = tried(judged(stream, line), stream, line, budget_seconds=SECONDS)
    hints = [one.hints[0] for one in found.refusals]
    assert len({one.command for one in hints}) == 1
    assert len({one.action for one in hints}) > 2
    assert rehearse(stream, shlex.split(hints[0].command or "")).outcome is Outcome.LOADS


def test_where_nothing_helps_only_advice_is_given(lab: Lab) -> None:
    """7.2 has no machine type of 10.0."""
    stream = saved(lab, "10.0", "-M pc-q35-10.0 -m 64")
    line = arguments(lab, "7.2", "-M pc-q35-7.2 -m 64")
    found = tried(judged(stream, line), stream, line, budget_seconds=5.0)
    hints = found.refusals[0].hints
    assert hints
    assert all(one.command is None and one.verified is None for one in hints)
    assert hints[0].needs_guest_restart


def test_no_time_nothing_is_tried(lab: Lab) -> None:
    stream = saved(lab, "5.2", "-M pc-q35-5.2 -m 96")
    line = arguments(lab, "10.0", Q35)
    verdict = judged(stream, line)
    found = tried(verdict, stream, line, budget_seconds=0.0)
    hints = [one for finding in found.refusals for one in finding.hints]
    assert hints  # the rule's own, which needs no time
    assert all(one.verified is None and one.command is None for one in hints)


def test_a_line_of_the_user_is_given_back_as_he_wrote_it(lab: Lab) -> None:
    """A lab release in the place of the program is not in the command."""
    stream = saved(lab, "5.2", "-M pc-q35-5.2 -m 96")
    lab("10.0")
    line: CommandLine = parse(f"/opt/mine/qemu-system-x86_64 {Q35} -nodefaults -display none")
    verdict = judged(stream, arguments(lab, "10.0", Q35))
    found = tried(verdict, stream, line, release="10.0", budget_seconds=SECONDS)
    (hint, *_) = found.refusals[0].hints
    assert (hint.command or "").startswith("/opt/mine/qemu-system-x86_64 -M pc-q35-5.2 -m 96M ")


def test_check_shows_them(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "guest.mig").write_bytes(write(saved(lab, "5.2", f"{Q35} -smp 2")))
    line = arguments(lab, "10.0", Q35)
    source = [str(tmp_path / "guest.mig"), "--no-project", "--hint-seconds", "30"]
    done = CliRunner().invoke(check_command, [*source, "--format", "json", "--", *line])
    assert done.exit_code == 1
    findings = json.loads(done.stdout)["findings"]
    hint = next(one for one in findings if one["severity"] == "refuses")["hints"][0]
    assert hint["action"] == "-smp 2"
    assert hint["verified"] == "rehearsed"
    text = CliRunner().invoke(check_command, [*source, "--", *line]).stdout
    assert "Fix (rehearsed)   -smp 2 " in text
    assert (
        "Fix" not in CliRunner().invoke(check_command, [*source, "--no-hints", "--", *line]).stdout
    )


def test_a_remedy_brings_no_device(lab: Lab, tmp_path: Path) -> None:
    """``pit=off`` taken out would give the destination an HPET, which the source refuses."""
    there = "-M pc-q35-7.2,hpet=off -m 64"
    (tmp_path / "guest.mig").write_bytes(write(saved(lab, "7.2", there)))
    home = tmp_path / "source.txt"
    home.write_text(shlex.join(arguments(lab, "7.2", there)))
    line = arguments(lab, "10.0", "-M pc-q35-7.2,pit=off -m 64")
    source = [str(tmp_path / "guest.mig"), "--no-project", "--hint-seconds", "30"]
    done = CliRunner().invoke(
        check_command, [*source, "--back-to", str(home), "--json", "--", *line]
    )
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert found["back"] is None
    assert found["no_back"] == "the destination does not load the guest"
    (hint, *_) = found["findings"][0]["hints"]
    assert hint["verified"] == "rehearsed"
    assert "changes" not in hint
    assert hint["comes_back"] is True
    words = shlex.split(hint["command"])
    assert "pc-q35-7.2,hpet=off" in words
    assert rehearse(saved_as(words), arguments(lab, "7.2", there)).outcome is Outcome.LOADS


def saved_as(words: list[str]) -> Stream:
    return read(collect(words, ram_sizes={}).stream or b"")


#: Machines of which the destination has more, and the words that take it away.
MORE = {
    "machine": (Q35.replace("5.2", "5.2,hpet=off"), Q35, "hpet=off"),
    "pci": (Q35, f"{Q35} -device i6300esb,id=w,addr=7", "without -device i6300esb,id=w"),
    "port": (
        f"{Q35} -device pcie-root-port,id=p,addr=4",
        f"{Q35} -device pcie-root-port,id=p,addr=4 -device e1000e,bus=p",
        "without -device e1000e",
    ),
    "usb": (
        f"{Q35} -device qemu-xhci,id=x,addr=5",
        f"{Q35} -device qemu-xhci,id=x,addr=5 -device usb-tablet,bus=x.0",
        "without -device usb-tablet",
    ),
    "isa": (Q35, f"{Q35} -chardev null,id=c -device isa-serial,chardev=c", "isa-serial"),
    "cpu": (f"{Q35} -smp 1,maxcpus=2", f"{Q35} -smp 2", "-smp 1"),
    "bmc": (Q35, f"{Q35} -device ipmi-bmc-sim,id=b", "without -device ipmi-bmc-sim,id=b"),
    "global": (f"{Q35} -global apic-common.vapic=off", Q35, "-global apic-common.vapic=off"),
    "bridge": (
        f"{Q35} -device pci-bridge,id=b,chassis_nr=1,addr=4",
        f"{Q35} -device pci-bridge,id=b,chassis_nr=1,addr=4 -device virtio-rng-pci,bus=b,addr=1",
        "without -device virtio-rng-pci",
    ),
}


@pytest.mark.parametrize("kind", MORE)
def test_the_destination_has_more(lab: Lab, tmp_path: Path, kind: str) -> None:
    """It loads, what it then sends is refused; the remedy comes back."""
    there, here, fix = MORE[kind]
    (tmp_path / "guest.mig").write_bytes(write(saved(lab, "5.2", there)))
    home = tmp_path / "source.txt"
    home.write_text(shlex.join(arguments(lab, "5.2", there)))
    line = arguments(lab, "10.0", here)
    source = [str(tmp_path / "guest.mig"), "--no-project", "--hint-seconds", "40"]
    done = CliRunner().invoke(
        check_command, [*source, "--back-to", str(home), "--json", "--", *line]
    )
    found = json.loads(done.stdout)
    assert (found["verdict"], found["back"]["verdict"]) == ("loads", "refused")
    assert found["back"]["basis"] == "rehearsed"
    assert done.exit_code == 1
    (warns,) = [one for one in found["findings"] if one["rule"] == "no-way-back"]
    (hint, *_) = warns["hints"]
    assert fix in hint["action"]
    assert (hint["verified"], hint["comes_back"]) == ("rehearsed", True)
    text = CliRunner().invoke(check_command, [*source, "--back-to", str(home), "--", *line]).stdout
    assert "BACK        the guest does not come back, tried with the real QEMU: Unknown" in text
    assert "comes back)" in " ".join(text.split())


#: Differences that a guest does not meet before its next boot: it comes back.
SAME = {
    "features": ("virtio-net-pci,mrg_rxbuf=off,addr=4", "virtio-net-pci,addr=4"),
    "queues": ("virtio-scsi-pci,addr=4", "virtio-scsi-pci,addr=4,max_sectors=512"),
}


@pytest.mark.parametrize("kind", SAME)
def test_what_comes_back(lab: Lab, tmp_path: Path, kind: str) -> None:
    there, here = SAME[kind]
    (tmp_path / "guest.mig").write_bytes(write(saved(lab, "7.2", f"{Q35} -device {there}")))
    home = tmp_path / "source.txt"
    home.write_text(shlex.join(arguments(lab, "7.2", f"{Q35} -device {there}")))
    line = arguments(lab, "11.1", f"{Q35} -device {here}")
    words = [str(tmp_path / "guest.mig"), "--no-project", "--back-to", str(home)]
    done = CliRunner().invoke(check_command, [*words, "--", *line])
    assert done.exit_code == 0, done.output
    assert "BACK        the guest comes back: the source loads it again" in done.stdout


def test_a_newer_section_does_not_come_back(lab: Lab, tmp_path: Path) -> None:
    """No device more, but another release's form: only what its program saves shows it."""
    text = f"{PSERIES} -cpu power9_v2.0"
    (tmp_path / "guest.mig").write_bytes(write(saved(lab, "5.2", text)))
    home = tmp_path / "source.txt"
    home.write_text(shlex.join(arguments(lab, "5.2", text)))
    line = arguments(lab, "11.1", text)
    words = [str(tmp_path / "guest.mig"), "--no-project", "--back-to", str(home)]
    done = CliRunner().invoke(check_command, [*words, "--json", "--", *line])
    found = json.loads(done.stdout)
    assert (found["verdict"], found["back"]["verdict"], done.exit_code) == ("loads", "refused", 1)
    assert all(one["rule"] != "no-way-back" for one in found["findings"])
    assert "too new" in found["back"]["first_refusal"]["message"]
    real = rehearse_command_of([*words, "--json", "--", *line])
    assert real["back"]["first_refusal"] == found["back"]["first_refusal"]


def rehearse_command_of(words: list[str]) -> Any:
    words = [one for one in words if one != "--no-project"]
    return json.loads(CliRunner().invoke(rehearse_command, words).stdout)


def test_the_way_back_needs_the_source(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "guest.mig").write_bytes(write(saved(lab, "7.2", Q35)))
    line = arguments(lab, "10.0", Q35)
    done = CliRunner().invoke(
        check_command, [str(tmp_path / "guest.mig"), "--and-back", "--", *line]
    )
    assert done.exit_code == 2
    assert "--back-to NAME, a profile of it, or a file with its command line" in done.stderr


def test_rehearse_gives_the_remedies_of_check(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "guest.mig").write_bytes(write(saved(lab, "5.2", f"{PSERIES} -cpu POWER9")))
    line = arguments(lab, "10.0", f"{PSERIES} -cpu POWER9")
    words = [str(tmp_path / "guest.mig"), "--hint-seconds", "30", "--json", "--", *line]
    checked = json.loads(CliRunner().invoke(check_command, ["--no-project", *words]).stdout)
    real = json.loads(CliRunner().invoke(rehearse_command, words).stdout)
    one, other = checked["findings"][0], real["findings"][0]
    assert one["rule"] == other["rule"] == real["first_refusal"]["rule"] == "cpu-identity"
    assert one["summary"] == other["summary"]
    assert one["hints"] == other["hints"]
    assert one["hints"][0]["verified"] == "rehearsed"


KVM = "-M pc-q35-7.2 -m 64 -accel kvm"
KVM_CASES = {
    "machine-checks": (
        f"{KVM} -cpu qemu64",
        f"{KVM} -cpu qemu64,-mce",
        "kvm-registers",
        "-cpu qemu64 ",
    ),
    "interrupts": (KVM, f"{KVM},kernel-irqchip=off", "destination-start", "-accel kvm "),
    "accelerator": (KVM, "-M pc-q35-7.2 -m 64", "unknown-section", "-accel kvm"),
}


@pytest.mark.parametrize("kind", KVM_CASES)
def test_remedies_under_kvm(lab: Lab, kvm: None, kind: str) -> None:
    there, here, rule, fix = KVM_CASES[kind]
    stream, line = saved(lab, "7.2", there), arguments(lab, "10.0", here)
    verdict = judged(stream, line)
    if kind == "interrupts" and verdict.outcome is Outcome.LOADS:
        pytest.skip("this host's KVM takes an interrupt controller in QEMU")
    assert verdict.first_refusal is not None
    assert verdict.first_refusal.rule == rule
    home = Home.started(arguments(lab, "7.2", there))
    found = tried(verdict, stream, line, budget_seconds=SECONDS, home=home)
    hint = found.refusals[0].hints[0]
    assert (hint.verified, hint.comes_back) == (Basis.REHEARSED, True)
    assert fix in f"{hint.command} "
    assert "kernel-irqchip=off" not in (hint.command or "")
    assert rehearse(stream, shlex.split(hint.command or "")).outcome is Outcome.LOADS
