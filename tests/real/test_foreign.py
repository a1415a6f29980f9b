"""Programs that are no known build: a downstream's patched hooks, and another distribution's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from migratable.campaign.case import Side
from migratable.campaign.process import Qemu
from migratable.campaign.runner import load, save
from migratable.check import check
from migratable.check.baseline import Baseline
from migratable.cli import cli
from migratable.errors import LabError
from migratable.lab import find
from migratable.profile.collect import collect
from migratable.profile.memory.layout import find_handlers, find_layout
from migratable.profile.memory.process import ProcessMemory
from migratable.stream import read
from migratable.verdict import Outcome

pytestmark = [pytest.mark.real, pytest.mark.slow]

LINE = ("-M", "pc-q35-7.2", "-m", "128M", "-nodefaults", "-display", "none", "-device", "e1000")
DEVICE = "e1000"
#: mov $-22, %eax; ret
REFUSE = b"\xb8\xea\xff\xff\xff\xc3"


def program(release: str) -> list[str]:
    try:
        return list(find(release, "x86_64").command)
    except LabError:
        pytest.skip(f"the lab has no QEMU {release} (x86_64)")


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest that 10.0 saved."""
    program("10.0")
    path = tmp_path_factory.mktemp("foreign") / "stream"
    status, _ = save(Side(release="10.0", arch="x86_64", argv=LINE), path)
    assert status["status"] == "saved"
    return path


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lab's 10.0 with a ``post_load`` of e1000 that refuses everything."""
    starter = Path(program("10.0")[0])
    with Qemu([str(starter)], [*LINE, "-S"]) as qemu:
        assert qemu.pid is not None
        with ProcessMemory(qemu.pid) as memory:
            entries = find_handlers(memory)
            layout = find_layout(memory, entries)
            entry = next(one for one in entries if one.idstr.endswith(DEVICE))
            hook = memory.word(entry.vmsd + dict(layout.hooks)["post_load"])
            code = memory.read(hook or 0, 64)
            assert code is not None
    text = starter.read_text()
    original = next(word for word in text.split() if word.endswith("/usr/bin/qemu-system-x86_64"))
    data = bytearray(Path(original).read_bytes())
    assert data.count(code) == 1
    at = data.find(code)
    data[at : at + len(REFUSE)] = REFUSE
    folder = tmp_path_factory.mktemp("patched")
    copy = folder / "vmm-x86_64"  # a name without "qemu" in it
    copy.write_bytes(data)
    copy.chmod(0o755)
    script = folder / "qemu-system-x86_64"
    script.write_text(text.replace(original, str(copy)))
    script.chmod(0o755)
    return script


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments])


def test_a_patched_hook_is_never_a_final_loads(stream: Path, patched: Path) -> None:
    words = ("check", stream, "--no-project", "--no-hints", "--format", "json")
    real = run(*words, "--", patched, *LINE)
    assert real.exit_code == 1, real.output
    verdict = json.loads(real.stdout)
    assert verdict["verdict"] == "refused"
    assert verdict["basis"] == "rehearsed"
    assert verdict["disagreement"][0] == "predicted: loads; the real QEMU: refused"
    tables = json.loads(run(*words, "--no-rehearse", "--", patched, *LINE).stdout)
    assert (tables["verdict"], tables["final"]) == ("loads", False)
    known = json.loads(run(*words, "--", program("10.0")[0], *LINE).stdout)
    assert (known["verdict"], known["final"], known["basis"]) == ("loads", True, "predicted")


def test_the_name_of_the_program_does_not_matter(stream: Path, patched: Path) -> None:
    profile = collect([str(patched), *LINE, "-device", "virtio-rng-pci"])
    assert profile.loader is not None
    assert profile.loader.notes == ()
    assert [name.rpartition("/")[2] for name in profile.loader.virtio] == ["virtio-rng"]
    assert profile.loader.digests


@pytest.mark.parametrize("machine", ["q35", "pc", "microvm"])
def test_ubuntus_build(machine: str, tmp_path: Path) -> None:
    """Tables and code facts of a build that nobody looked at, and what it does itself."""
    program("8.2")
    argv: tuple[str, ...] = ("-M", machine, "-m", "128M", "-nodefaults", "-display", "none")
    if machine != "microvm":
        argv += ("-device", "virtio-net-pci", "-device", "e1000", "-device", "nec-usb-xhci")
    side = Side(release="8.2", arch="x86_64", argv=argv)
    path = tmp_path / "stream"
    assert save(side, path)[0]["status"] == "saved"
    profile = collect(["lab:8.2/x86_64", *argv])
    assert profile.loader is not None
    destination = Baseline(profile, profile.loader)
    assert not destination.code_known
    assert destination.not_understood() == ()
    assert [one for one in profile.loader.handlers if destination.novelties(one)] == []
    verdict = check(read(path), destination)
    assert verdict.outcome is Outcome.LOADS
    assert not verdict.final
    assert load("", side, side, path).status == "loads"
