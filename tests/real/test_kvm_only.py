"""Programs without TCG on machines without KVM: qtest stands in."""

from __future__ import annotations

from pathlib import Path

import pytest

from migratable.check import check
from migratable.commandline import CommandLine, parse
from migratable.profile.collect import collect
from migratable.qemu import accelerator
from migratable.qemu.program import has_tcg
from migratable.rehearse import rehearse
from migratable.stream import read
from migratable.verdict import Outcome
from tests.conftest import Lab

pytestmark = pytest.mark.real
RELEASES = ("5.2", "7.2", "10.0", "11.1")
DEVICES = ("", "-device virtio-serial-device -smp 2", "-smp 2,maxcpus=4 -device isa-serial")


def _line(lab: Lab, release: str, folder: Path, options: str) -> CommandLine:
    """A microvm of Debian's program that knows no other machine and was built without TCG."""
    (word,) = lab(release).command
    program = folder / release / "qemu-system-x86_64-microvm"
    if not program.is_file():
        program.parent.mkdir()
        text = Path(word).read_text(encoding="utf-8")
        program.write_text(text.replace("qemu-system-x86_64", program.name), encoding="utf-8")
        program.chmod(0o755)
    return parse([str(program), *f"-M microvm -enable-kvm -m 64 -nodefaults {options}".split()])


@pytest.fixture
def no_kvm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerator, "DEVICE", "/nonexistent/kvm")


@pytest.mark.usefixtures("no_kvm")
@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("options", DEVICES)
def test_qtest_stands_in(lab: Lab, release: str, options: str, tmp_path: Path) -> None:
    line = _line(lab, release, tmp_path, options)
    assert not has_tcg(line.program)
    profile = collect(line)
    assert profile.accelerator == "qtest"
    assert profile.stand_in
    assert check(read(profile.stream), profile).outcome is Outcome.LOADS
    rehearsed = rehearse(read(profile.stream), line)
    assert rehearsed.outcome is Outcome.UNKNOWN  # whether KVM takes it was not tried
    assert "qtest stood in for it" in " ".join(rehearsed.unchecked)


@pytest.mark.usefixtures("no_kvm")
def test_a_refusal_is_seen_under_it(lab: Lab, tmp_path: Path) -> None:
    source = collect(_line(lab, "10.0", tmp_path, "-device virtio-rng-device"))
    line = _line(lab, "11.1", tmp_path, "-device virtio-rng-device")
    stream = read(source.stream)
    for verdict in (check(stream, collect(line)), rehearse(stream, line)):
        assert verdict.outcome is Outcome.REFUSED
        assert verdict.findings[0].rule == "virtio-queues"


def test_the_lab_s_other_programs_have_tcg(lab: Lab) -> None:
    for release in RELEASES:
        assert has_tcg(lab(release).command)
