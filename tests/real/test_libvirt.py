"""``libvirt:DOMAIN`` with a real libvirtd of our own: a session daemon with folders of its own.

Skipped by name where libvirtd or virsh is not installed (Debian: libvirt-daemon,
libvirt-daemon-driver-qemu, libvirt-clients).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import migratable.qemu
from migratable.capture.source import open_source
from migratable.check import check
from migratable.errors import CaptureError
from migratable.profile.collect import collect
from migratable.stream import read
from tests.absent import absent
from tests.conftest import Lab
from tests.guests import boot

pytestmark = [pytest.mark.real, pytest.mark.slow]
_LAUNCHER = Path(migratable.qemu.__file__).with_name("launcher.py")
DOMAIN = """
<domain type='qemu'>
  <name>counting</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{folder}/disk.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <serial type='file'><source path='{folder}/console'/></serial>
  </devices>
</domain>
"""


class Libvirt:
    """A libvirtd with one running domain, ``counting``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def virsh(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["virsh", "--quiet", *words], capture_output=True, text=True, check=False, timeout=60
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def count(self) -> int:
        """How far the guest has come."""
        numbers = re.findall(r"^F ([0-9a-f]{4})$", self.console(), re.MULTILINE)
        return int(numbers[-1], 16) if numbers else 0

    def console(self) -> str:
        """All that the guest printed."""
        return (self.folder / "console").read_text(errors="replace")

    def await_count(self, least: int) -> None:
        """Wait until the guest has come so far."""
        deadline = time.monotonic() + 120
        while self.count() < least:
            assert time.monotonic() < deadline, self.console()
            time.sleep(0.05)


@pytest.fixture(scope="module")
def libvirt(lab: Lab) -> Iterator[Libvirt]:
    """A private libvirtd, stopped at the end with all that it started."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    daemon = shutil.which("libvirtd", path=path)
    if daemon is None or shutil.which("virsh") is None:
        absent("libvirtd and virsh are not installed")
    emulator = lab("7.2").path
    words = [daemon]
    if os.geteuid() == 0:  # as root it would be the system's daemon
        words = ["unshare", "--user", "--map-user=1000", "--map-group=1000", daemon]
    # A socket's path has 107 bytes at most, and libvirt adds many folders.
    folder = Path(tempfile.mkdtemp(prefix="mv-"))
    before = dict(os.environ)
    os.environ["HOME"] = str(folder)
    for name in ("RUNTIME_DIR", "CACHE_HOME", "CONFIG_HOME", "DATA_HOME"):
        (folder / name).mkdir(mode=0o700)
        os.environ[f"XDG_{name}"] = str(folder / name)
    socket = folder / "RUNTIME_DIR/libvirt/libvirt-sock"
    os.environ["LIBVIRT_DEFAULT_URI"] = f"qemu+unix:///session?socket={socket}"
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), ""]
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [*launcher, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    found = Libvirt(folder)
    try:
        deadline = time.monotonic() + 60
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                absent(f"libvirtd does not start: {(folder / 'log').read_text()[-300:]}")
            time.sleep(0.05)
        (folder / "disk.img").write_bytes(boot.disk())
        (folder / "domain.xml").write_text(DOMAIN.format(emulator=emulator, folder=folder))
        found.virsh("create", str(folder / "domain.xml"))
        found.await_count(4)
        yield found
    finally:
        found.virsh("destroy", "counting", check=False)
        process.terminate()
        process.wait(20)
        log.close()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(folder)


def test_capture_beside_save_image(libvirt: Libvirt) -> None:
    before = libvirt.count()
    captured = open_source("libvirt:counting", confirm=lambda words: True)
    assert captured.facts["guest"] == "counting"
    pause = captured.facts["pause_ms"]
    assert isinstance(pause, float)
    assert pause > 0
    assert "<name>counting</name>" in str(captured.facts["domain_xml"])
    assert libvirt.virsh("domstate", "counting").strip() == "running"
    assert "migratable" not in libvirt.virsh(
        "qemu-monitor-command", "counting", '{"execute":"query-fdsets"}'
    )
    libvirt.await_count(before + 4)
    line = libvirt.virsh("domxml-to-native", "qemu-argv", "--domain", "counting")
    libvirt.virsh("save", "counting", str(libvirt.folder / "counting.save"))
    full = read(libvirt.folder / "counting.save")
    assert captured.stream.machine == full.machine == "pc-q35-7.2"
    assert captured.stream.ram_blocks == full.ram_blocks
    assert [one.name for one in captured.stream.devices] == [one.name for one in full.devices]
    profile = collect(line, release="7.2")
    ours, theirs = check(captured.stream, profile), check(full, profile)
    assert (ours.outcome, ours.first_refusal) == (theirs.outcome, theirs.first_refusal)
    libvirt.virsh("restore", str(libvirt.folder / "counting.save"))
    libvirt.await_count(before + 8)


def test_domain_that_is_not(libvirt: Libvirt) -> None:
    with pytest.raises(CaptureError, match="failed to get domain 'absent'"):
        open_source("libvirt:absent", confirm=lambda words: True)


def test_paused_domain(libvirt: Libvirt) -> None:
    libvirt.virsh("qemu-monitor-command", "counting", '{"execute":"stop"}')
    try:
        captured = open_source("libvirt:counting", confirm=lambda words: True)
        assert captured.facts["pause_ms"] == 0.0
        assert captured.facts["status"] == "paused"
    finally:
        libvirt.virsh("qemu-monitor-command", "counting", '{"execute":"cont"}')


def test_without_virsh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CaptureError, match="virsh is not on this machine"):
        open_source("libvirt:any", confirm=lambda words: True)
