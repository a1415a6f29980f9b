"""The lab's programs are what they should be, and are made of nothing of this machine's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from migratable.lab import RELEASES
from tests.absent import absent
from tests.conftest import Lab

pytestmark = pytest.mark.real

PAIRS = [(release.name, arch) for release in RELEASES for arch in ("x86_64", "ppc64")]
# What its machine starts with, when only this is asked of it.
MACHINES = {"x86_64": "q35", "ppc64": "pseries"}


@pytest.mark.parametrize(("release", "arch"), PAIRS)
def test_it_runs_as_its_release(lab: Lab, release: str, arch: str) -> None:
    one = lab(release, arch)
    done = subprocess.run([*one.command, "--version"], capture_output=True, text=True, check=True)
    assert f"version {release}." in done.stdout
    help_ = subprocess.run(
        [*one.command, "-device", "virtio-gpu-pci,help"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "max_outputs" in help_.stdout, "QEMU's modules are found"


@pytest.mark.parametrize(("release", "arch"), PAIRS)
def test_it_is_made_of_its_own_code_and_firmware(
    lab: Lab, release: str, arch: str, tmp_path: Path
) -> None:
    """The process is QEMU itself, and every library mapped comes from the lab."""
    one = lab(release, arch)
    if one.origin != "lab":
        pytest.skip(f"QEMU {release} ({arch}) is this machine's own")
    pidfile = tmp_path / "pid"
    arguments = ["-M", MACHINES[arch], "-display", "none", "-S", "-pidfile", str(pidfile)]
    command = [*one.command, *arguments, "-vga", "none", "-device", "virtio-net-pci"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            end = time.monotonic() + 60
            while not pidfile.exists() or not pidfile.read_text().strip():
                if process.poll() is not None:
                    assert process.stderr is not None
                    pytest.fail(f"QEMU ended: {process.stderr.read().decode()}")
                assert time.monotonic() < end, "QEMU is not up after a minute"
                time.sleep(0.01)
            assert int(pidfile.read_text()) == process.pid
            lines = Path(f"/proc/{process.pid}/maps").read_text().splitlines()
        finally:
            process.kill()
    mapped = {line.split(None, 5)[5] for line in lines if "/" in line}
    code = {name for name in mapped if ".so" in name or "/bin/" in name}
    root = one.path.resolve().parent.parent / "root"
    assert len(code) > 10
    assert {name for name in code if not Path(name).is_relative_to(root)} == set()


def test_the_program_becomes_qemu(lab: Lab) -> None:
    lab("10.0")
    program = [sys.executable, "-m", "migratable", "lab", "run", "10.0", "x86_64"]
    done = subprocess.run([*program, "--", "--version"], capture_output=True, text=True, check=True)
    assert "version 10.0." in done.stdout
    done = subprocess.run([*program, "--help"], capture_output=True, text=True, check=True)
    assert "Standard options:" in done.stdout
    done = subprocess.run([*program, "-M", "nonesuch"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "unsupported machine type" in done.stderr


@pytest.mark.slow
def test_a_real_installation_survives_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetch from the machine's mirror into a fresh lab, interrupt it, and do it again."""
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            absent(f"{tool} is not on this machine")
    fresh = tmp_path / "fresh lab"
    monkeypatch.setenv("MIGRATABLE_LAB", str(fresh))
    program = [sys.executable, "-m", "migratable", "lab"]
    install = [*program, "install", "10.0", "--arch", "ppc64"]
    partial = fresh / "apt/10.0/archives"
    with subprocess.Popen(install, stderr=subprocess.PIPE, start_new_session=True) as process:
        while process.poll() is None and not list(partial.glob("*.deb")):
            time.sleep(0.01)
        if process.poll() is not None:
            assert process.stderr is not None
            absent(f"QEMU 10.0 is not available: {process.stderr.read().decode()}")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 130
    assert not (fresh / "releases").exists()
    kept = {path.name: path.stat().st_ino for path in partial.glob("*.deb")}
    assert kept
    listed = subprocess.run([*program, "list", "--format", "json"], capture_output=True, check=True)
    lab_programs = json.loads(listed.stdout)["programs"]
    assert [one for one in lab_programs if one["origin"] == "lab"] == []

    again = [*install, "--keep-packages"]
    done = subprocess.run(again, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("QEMU 10.0.")
    assert {name: (partial / name).stat().st_ino for name in kept} == kept, "fetched only once"
    path = subprocess.run(
        [*program, "path", "10.0", "ppc64"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert Path(path).is_relative_to(fresh)
    assert (
        "version 10.0."
        in subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    )
