"""Guests that ran under KVM and used what it offers: saved, checked, moved, and going on."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from pathlib import Path

import pytest

from migratable.capture.kept import kept_in
from migratable.capture.running import capture_socket
from migratable.check import check
from migratable.profile.collect import collect
from migratable.rehearse import rehearse
from migratable.stream import read
from migratable.stream.compare import compare
from migratable.stream.fields import decode
from migratable.verdict import Outcome, Severity
from tests.absent import absent
from tests.conftest import Lab
from tests.guests import multiboot
from tests.guests.machines import Running

pytestmark = pytest.mark.real
CPU = "qemu64,+x2apic,+tsc-deadline,+kvm-asyncpf-int,+kvm-poll-control"
COMMON = "-M pc-q35-5.2 -m 32 -display none -nodefaults"
#: What the guest makes its processor send (target/i386/machine.c).
USED = {
    "cpu/async_pf_msr",
    "cpu/async_pf_int_msr",
    "cpu/async_pv_eoi_msr",
    "cpu/steal_time_msr",
    "cpu/poll_control_msr",
    "cpu/msr_tscdeadline",
}


def _line(cpu: str = CPU, accelerator: str = "kvm") -> list[str]:
    return [*COMMON.split(), "-accel", accelerator, "-cpu", cpu]


def _saved(release: str, lab: Lab, folder: Path) -> Path:
    """A stream of the guest after it has run for a while."""
    kernel = multiboot.kernel(folder)
    path = folder / "guest.mig"
    words = [*_line(), "-kernel", str(kernel)]
    with Running(lab(release).command, words) as running:
        running.await_count(2)
        # KVM reads the deadline as 0 from the moment it passes until the guest has handled it; a
        # busy machine may stop the guest just there.
        for _ in range(20):
            running.save(folder / "guest.mig.gz")
            with gzip.open(folder / "guest.mig.gz") as packed, path.open("wb") as plain:
                shutil.copyfileobj(packed, plain)
            if _cpu_subsections(path) >= USED:
                break
            running.qmp("cont")
            running.goes_on(60)
    return path


def _cpu_subsections(path: Path) -> set[str]:
    (cpu,) = [one for one in read(path).devices if one.idstr == "cpu"]
    return {one.name for one in decode(cpu).subsections}


PAIRS = [
    ("10.0", "10.0"),
    ("5.2", "11.1"),
    pytest.param("7.2", "10.0", marks=pytest.mark.slow),
    pytest.param("11.1", "5.2", marks=pytest.mark.slow),
    pytest.param("10.0", "7.2", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("source", "destination"), PAIRS)
def test_moves_and_goes_on(
    source: str, destination: str, lab: Lab, kvm: None, tmp_path: Path
) -> None:
    path = _saved(source, lab, tmp_path)
    stream = read(path)
    assert _cpu_subsections(path) >= USED
    assert stream.device("kvmclock") is not None
    program = lab(destination).command
    line = [*program, *_line(), "-serial", "null"]
    predicted, rehearsed = check(stream, collect(line)), rehearse(stream, line)
    assert predicted.outcome is rehearsed.outcome is Outcome.LOADS
    assert not [one for one in predicted.findings if one.severity is Severity.ENDANGERS]
    with Running(program, [*_line(), "-incoming", "defer"]) as running:
        assert running.load(path) == "completed"
        running.qmp("cont")
        assert running.await_count(5)
        assert [one[0] for one in running.lines if one[1:3] == " 0"][-1] == "F"  # the PIT as well


def test_capture_and_diff(lab: Lab, kvm: None, tmp_path: Path) -> None:
    kernel = multiboot.kernel(tmp_path)
    words = [*_line(), "-kernel", str(kernel)]
    with Running(lab("10.0").command, words, qmp_path=tmp_path / "qmp") as running:
        running.await_count(2)
        running.qmp("stop")
        captured = capture_socket(tmp_path / "qmp", confirm=lambda words: True)
        running.save(tmp_path / "full.mig.gz")
        running.qmp("cont")
        assert running.goes_on(60)
    assert captured.undescribed == ()
    ours, theirs = read(captured.data), read(tmp_path / "full.mig.gz")
    kept = kept_in(ours)
    assert kept is not None
    assert kept.profile.accelerator == "kvm"
    differences = compare(ours, theirs)
    changed = {one.section for one in differences if "ram" not in str(one.section)}
    assert changed <= {"timer", "globalstate", "kvmclock", "mc146818rtc"}
    line = [*lab("11.1").command, *_line(), "-serial", "null"]
    assert check(ours, collect(line)).outcome is Outcome.LOADS


def test_hot_plug_that_the_guest_has_switched_on(lab: Lab, tmp_path: Path) -> None:
    """Latent for the profile of the machine, which never booted; refused for the guest that ran."""
    kernel = multiboot.kernel(tmp_path)
    here, there = ([*_line("qemu64", "tcg"), "-smp", f"1,maxcpus={most}"] for most in (2, 4))
    program = lab("10.0").command
    with Running(program, [*here, "-kernel", str(kernel)]) as running:
        running.await_count(1)
        running.save(tmp_path / "guest.mig.gz")
    source = collect([*program, *here, "-serial", "null"])
    destination = collect([*program, *there, "-serial", "null"])
    unbooted = check(read(source.stream), destination, origin=source)
    assert unbooted.outcome is Outcome.LOADS
    (found,) = [one for one in unbooted.findings if "cpuhp" in one.summary]
    assert found.severity is Severity.LATENT
    assert "2 elements" in found.summary
    ran = read(tmp_path / "guest.mig.gz")
    refused = check(ran, destination, origin=source)
    assert refused.outcome is Outcome.REFUSED
    assert rehearse(ran, [*program, *there, "-serial", "null"]).outcome is Outcome.REFUSED
    assert not [one for one in refused.findings if one.severity is Severity.LATENT]


def test_code_is_its_source(tmp_path: Path) -> None:
    gcc, ld = shutil.which("gcc"), shutil.which("ld")
    if gcc is None or ld is None:
        absent("gcc or ld is not on this machine")
    (tmp_path / "kvm.S").write_text(multiboot.SOURCE)
    words = [gcc, "-m32", "-c", "kvm.S", "-o", "kvm.o"]
    if subprocess.run(words, cwd=tmp_path, capture_output=True, check=False).returncode:
        absent("this gcc does not assemble for i386")
    link = "-m elf_i386 -Ttext 0x100000 -e _start --oformat binary kvm.o -o made.bin"
    subprocess.run([ld, *link.split()], cwd=tmp_path, check=True)
    assert (tmp_path / "made.bin").read_bytes() == multiboot.CODE
