"""Captures of guests that run, beside full migrations of the same guests; on real QEMU."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from migratable.capture.kept import kept_in
from migratable.capture.running import Captured, capture_socket
from migratable.check import check
from migratable.errors import CaptureError, LabError
from migratable.profile.collect import collect
from migratable.rehearse import rehearse
from migratable.stream import SectionKind, read
from migratable.stream.fields import decode
from migratable.verdict import Outcome
from tests.absent import absent
from tests.conftest import Lab
from tests.guests.machines import GUESTS, Guest, Running
from tests.guests.saved import resumed

pytestmark = pytest.mark.real
_BARE = "-M q35 -m 64,maxmem=1G,slots=1 -accel tcg -display none -nodefaults"
RELEASES = ("5.2", "7.2", "10.0", "11.1")


@contextlib.contextmanager
def _running(guest: Guest, release: str, lab: Lab, folder: Path) -> Iterator[Running]:
    """A guest that runs, with a monitor at ``folder/qmp``."""
    program = lab(release, guest.target)
    try:
        with resumed(guest, program, folder, qmp_path=folder / "qmp") as running:
            yield running
    except LabError as error:
        absent(f"guest {guest.name}: {error}")


def _capture(folder: Path) -> Captured:
    return capture_socket(folder / "qmp", confirm=lambda words: True)


def _load(
    guest: Guest, release: str, lab: Lab, stream: Path, folder: Path
) -> tuple[bool, list[str]]:
    """What a real destination says: loaded or not, and every line."""
    program = lab(release, guest.target)
    arguments = [*guest.command_line(guest.disk(folder)), "-S", "-incoming", "defer"]
    with Running(program.command, arguments, tap=guest.tap) as destination:
        status = destination.load(stream)
    lines = [line.partition(": ")[2] for line in destination.lines if line.startswith("qemu-")]
    return status == "completed", lines


SOURCES = [
    ("x86-firmware", "10.0", "5.2 11.1"),
    ("ppc-firmware", "7.2", "7.2 10.0"),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in (
            ("x86-linux", "5.2", "7.2 10.0"),
            ("x86-linux", "7.2", "5.2"),
            ("x86-linux", "10.0", "7.2 11.1"),
            ("x86-linux", "11.1", "10.0"),
            ("x86-iommu", "7.2", "5.2 10.0"),
            ("ppc-linux", "5.2", "7.2"),
            ("ppc-linux", "7.2", "5.2 11.1"),
            ("ppc-linux", "10.0", "7.2 10.0"),
            ("ppc-hash", "7.2", "10.0"),
        )
    ),
]


@pytest.mark.parametrize(("name", "source", "destinations"), SOURCES)
def test_same_answer_as_full_migration(
    name: str, source: str, destinations: str, lab: Lab, tmp_path: Path
) -> None:
    guest = GUESTS[name]
    capture, full = tmp_path / "capture.mig", tmp_path / "full.mig.gz"
    with _running(guest, source, lab, tmp_path) as running:
        captured = _capture(tmp_path)
        assert running.goes_on()
        running.save(full)
    assert captured.pause is not None
    assert captured.unchecked == () or source == "5.2"
    capture.write_bytes(captured.data)
    with gzip.open(full) as packed, (tmp_path / "full.mig").open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    ours, theirs = read(capture), read(tmp_path / "full.mig")
    assert ours.machine == theirs.machine
    assert ours.ram_blocks == theirs.ram_blocks
    names = [(one.idstr, one.instance_id, one.version_id) for one in theirs.devices]
    assert [(one.idstr, one.instance_id, one.version_id) for one in ours.devices] == names
    for release in destinations.split():
        real = _load(guest, release, lab, tmp_path / "full.mig", tmp_path)
        assert _load(guest, release, lab, capture, tmp_path) == real, release
        line = [*lab(release, guest.target).command, *guest.command_line(guest.disk(tmp_path))]
        line += ["-serial", "null"]
        loads, said = real
        predicted = check(ours, collect(line))
        for verdict in (predicted, rehearse(ours, line)):
            assert (verdict.outcome is Outcome.LOADS) == loads, release
            if verdict.first_refusal is not None:
                assert verdict.first_refusal.message in said, release


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", ["x86-firmware", "ppc-firmware"])
def test_describes_itself_as_a_full_migration_does(
    name: str, release: str, lab: Lab, tmp_path: Path
) -> None:
    """Fields, their names, types and sizes, by the tables of the program itself."""
    guest = GUESTS[name]
    with _running(guest, release, lab, tmp_path) as running:
        running.qmp("stop")
        captured = _capture(tmp_path)
        running.save(tmp_path / "full.mig.gz")
    assert captured.undescribed == ()
    ours, theirs = read(captured.data), read(tmp_path / "full.mig.gz")
    values = 0
    for mine, full in zip(ours.devices, theirs.devices, strict=True):
        assert mine.description is not None
        assert full.description is not None
        assert mine.description.opaque == full.description.opaque
        one = [(path, item.type, item.size) for path, item in decode(mine).walk()]
        assert one == [(path, item.type, item.size) for path, item in decode(full).walk()]
        values += len(one)
    assert values > 500
    kept = kept_in(ours)
    assert kept is not None
    arguments = guest.command_line(tmp_path / "disk.img")
    assert kept.profile.command_line[0] == f"qemu-system-{guest.target}"
    assert [word for word in kept.profile.command_line if word in arguments] == arguments


# Each of these QEMUs dies of a segmentation fault when it saves such a machine.
CRASHES = [
    (
        "11.1",
        "x86_64",
        f"{_BARE} -device nvme,serial=a,id=n -drive if=none,id=d,driver=null-co,size=1G "
        "-device nvme-ns,drive=d,bus=n",
    ),
    (
        "7.2",
        "x86_64",
        f"{_BARE} -chardev null,id=a -chardev null,id=b "
        "-device pci-serial-2x,chardev1=a,chardev2=b",
    ),
    ("5.2", "ppc64", "-M mac99,via=pmu -m 256 -accel tcg -display none"),
]


@pytest.mark.parametrize(("release", "target", "line"), CRASHES)
def test_vm_whose_qemu_would_crash_is_left_alone(
    release: str, target: str, line: str, lab: Lab, tmp_path: Path
) -> None:
    program = lab(release, target).command
    with Running(program, line.split(), qmp_path=tmp_path / "qmp") as running:
        with pytest.raises(CaptureError, match="saving crashes QEMU"):
            _capture(tmp_path)
        assert running.qmp("query-status")["status"] == "running"
        assert not [one for one in running.monitor.events if one["event"] == "STOP"]


def test_remedy_by_the_guests_processor(lab: Lab, tmp_path: Path) -> None:
    """The same fix as for a full stream of the same guest."""
    arguments = "-machine pseries-5.2 -cpu POWER9 -m 256M -nodefaults -accel tcg -display none"
    arguments += " -serial none"
    out = tmp_path / "guest.mig"
    with Running(lab("5.2", "ppc64").command, arguments.split(), qmp_path=tmp_path / "qmp"):
        out.write_bytes(_capture(tmp_path).data)
    line = [*lab("10.0", "ppc64").command, *arguments.split(), "-serial", "stdio"]
    words = [sys.executable, "-m", "migratable", "check", str(out), "--json"]
    words += ["--hint-seconds", "60"]
    done = subprocess.run([*words, "--", *line], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    (identity,) = [one for one in found["findings"] if one["rule"] == "cpu-identity"]
    assert identity["hints"][0]["action"] == "-cpu power9_v2.0"
    assert identity["hints"][0]["verified"] == "rehearsed"


def _state(running: Running) -> dict[str, object]:
    """What must be the same before and after."""
    nodes = [
        {name: node.get(name) for name in ("node-name", "drv", "ro", "active", "file")}
        for node in running.qmp("query-named-block-nodes")
    ]
    asked = {
        name: running.qmp(name)
        for name in (
            "query-status",
            "query-migrate",
            "query-migrate-capabilities",
            "query-fdsets",
            "query-jobs",
            "query-chardev",
            "query-cpus-fast",
        )
    }
    return {"nodes": nodes, "qtree": running.hmp("info qtree -b"), **asked}


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_leaves_running_vm_as_it_was(release: str, lab: Lab, tmp_path: Path) -> None:
    guest = GUESTS["x86-linux"]
    with _running(guest, release, lab, tmp_path) as running:
        before = _state(running)
        for _ in range(3):
            captured = _capture(tmp_path)
            assert captured.standing.status == "running"
            assert captured.pause is not None
            assert 0 < captured.pause <= captured.command_seconds
        assert _state(running) == before
        assert running.goes_on()
        # Only a VM whose disks are still its own can hand them over to a destination.
        program = lab(release)
        disk = tmp_path / "disk.img"
        arguments = [*guest.command_line(disk), "-incoming", f"unix:{tmp_path}/in"]
        with Running(program.command, arguments) as destination:
            assert running.migrate(f"unix:{tmp_path}/in") == "completed"
            assert destination.await_count(running.count + 2)


@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_leaves_paused_vm_as_it_was(release: str, lab: Lab, tmp_path: Path) -> None:
    guest = GUESTS["x86-linux"]
    with _running(guest, release, lab, tmp_path) as running:
        running.qmp("stop")
        before = _state(running)
        captured = _capture(tmp_path)
        assert captured.pause == 0.0
        assert _state(running) == before
        state = read(captured.data).device("globalstate")
        assert state is not None
        assert bytes(state.body[:11]) == b"\0\0\0\x07paused\0"
        # The image is still locked: nobody else may write to it.
        words = [*lab(release).command, *guest.command_line(tmp_path / "disk.img"), "-S"]
        with pytest.raises(Exception, match="lock"), Running(words, []) as other:
            other.stop()
        running.qmp("cont")
        assert running.goes_on()


@pytest.mark.parametrize("release", ["5.2", "11.1"])
def test_refuses_what_is_under_way(release: str, lab: Lab, tmp_path: Path) -> None:
    guest = GUESTS["x86-firmware"]

    def refused(words: str) -> None:
        with pytest.raises(CaptureError, match=words):
            capture_socket(tmp_path / "qmp", confirm=_never)

    def _never(words: str) -> bool:
        raise AssertionError(f"asked before all was examined: {words}")

    with _running(guest, release, lab, tmp_path) as running:
        running.qmp("blockdev-add", driver="null-co", node_name="sink", size=4 << 20)
        running.qmp(
            "blockdev-mirror", device="disk0", target="sink", sync="full", speed=1, job_id="copy"
        )
        refused("a job is in progress: mirror 'copy'")
        running.qmp("block-job-cancel", device="copy", force=True)
        running.monitor.wait_event("BLOCK_JOB_CANCELLED", timeout=60)
        running.qmp("migrate-set-parameters", max_bandwidth=1)
        reading, writing = os.pipe()
        running.monitor.execute("getfd", {"fdname": "slow"}, fd=writing)
        os.close(writing)
        running.qmp("migrate", uri="fd:slow")
        refused("a migration is in progress")
        running.qmp("migrate_cancel")
        os.close(reading)
        while running.qmp("query-migrate")["status"] == "cancelling":
            time.sleep(0.01)
        assert running.goes_on()
        assert len(_capture(tmp_path).data) > 10_000
        assert running.goes_on()


@pytest.mark.parametrize("release", ["5.2", "10.0"])
def test_device_that_would_crash_the_vm(release: str, lab: Lab, tmp_path: Path) -> None:
    """5.2 dies of xen-save-devices-state with one of these, and does not name them itself."""
    arguments = f"{_BARE} -device qemu-xhci".split()
    drive = ["-drive", "if=none,id=d,driver=null-co,size=16M", "-device", "nvme,drive=d,serial=1"]
    for device in (drive, ["-device", "usb-mtp,rootdir=/,readonly=on"], ["-device", "amd-iommu"]):
        program = lab(release).command
        with Running(program, [*arguments, *device], qmp_path=tmp_path / "qmp") as running:
            with pytest.raises(CaptureError, match="cannot be migrated"):
                _capture(tmp_path)
            assert running.qmp("query-status")["status"] == "running"


@pytest.mark.parametrize("release", ["10.0", "11.1"])
def test_sections_that_go_before_ram(release: str, lab: Lab, tmp_path: Path) -> None:
    memory = "-object memory-backend-ram,id=m0,size=64M -device virtio-mem-pci,memdev=m0"
    arguments = f"{_BARE} {memory} -S".split()
    program = lab(release).command
    with Running(program, arguments, qmp_path=tmp_path / "qmp") as running:
        captured = _capture(tmp_path)
        running.save(tmp_path / "full.mig.gz")
    assert captured.unchecked == ()
    ours, theirs = read(captured.data), read(tmp_path / "full.mig.gz")
    order = [(one.kind, one.idstr) for one in theirs.sections if one.kind is not SectionKind.PART]
    assert [(one.kind, one.idstr) for one in ours.sections] == order


def test_not_confirmed(lab: Lab, tmp_path: Path) -> None:
    with _running(GUESTS["x86-firmware"], "10.0", lab, tmp_path) as running:
        asked: list[str] = []

        def no(words: str) -> bool:
            asked.append(words)
            return False

        with pytest.raises(CaptureError, match="not confirmed"):
            capture_socket(tmp_path / "qmp", confirm=no)
        assert "Pause VM" in asked[0]
        with pytest.raises(CaptureError, match="--yes"):
            capture_socket(tmp_path / "qmp")
        assert not [one for one in running.monitor.events if one["event"] == "STOP"]


def test_monitor_that_is_taken(lab: Lab, tmp_path: Path) -> None:
    import socket

    with (
        _running(GUESTS["x86-firmware"], "10.0", lab, tmp_path),
        socket.socket(socket.AF_UNIX) as other,
    ):
        other.connect(str(tmp_path / "qmp"))
        assert b"QMP" in other.recv(4096)
        with pytest.raises(CaptureError, match="one client at a time"):
            _capture(tmp_path)


def test_vm_that_sees_no_path_of_ours(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container: other mounts, and the folder of temporary files is another."""
    hide = 'mount -t tmpfs none /var/tmp && exec "$0" "$@"'
    program = ["unshare", "-rm", "sh", "-c", hide, *lab("7.2").command]
    if subprocess.run([*program[:5], "true"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    monkeypatch.setattr("tempfile.tempdir", "/var/tmp")
    guest = GUESTS["x86-firmware"]
    arguments = guest.command_line(guest.disk(tmp_path))
    with Running(program, arguments, qmp_path=tmp_path / "qmp") as running:
        running.await_count(3)
        assert len(read(_capture(tmp_path).data).devices) > 20
        assert running.goes_on()
        running.qmp("stop")
        assert len(read(_capture(tmp_path).data).devices) > 20
        assert running.qmp("query-status")["status"] == "paused"


@pytest.mark.slow
def test_killed_at_any_moment(lab: Lab, tmp_path: Path) -> None:
    with _running(GUESTS["x86-linux"], "10.0", lab, tmp_path) as running:
        out = tmp_path / "out"
        out.mkdir()
        words = ["-m", "migratable", "capture", f"qmp:{tmp_path}/qmp", "--yes", "-o"]
        begin = time.monotonic()
        subprocess.run([sys.executable, *words, out / "whole"], check=True, capture_output=True)
        whole = time.monotonic() - begin
        for number in range(8):
            with subprocess.Popen(
                [sys.executable, *words, out / f"{number}"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as process:
                time.sleep(whole * (0.3 + 0.09 * number))
                process.kill()
        # A descriptor that QEMU holds for one of the killed is taken back by the next.
        subprocess.run([sys.executable, *words, out / "last"], check=True, capture_output=True)
        assert all(one.name.isalnum() for one in out.iterdir())
        for one in out.iterdir():
            assert len(read(one).devices) > 30
        assert running.goes_on()
        assert running.qmp("query-fdsets") == []
        assert running.qmp("query-status")["status"] == "running"


@pytest.mark.parametrize(("answer", "status"), [("y", 0), ("n", 2)])
def test_command_asks_on_a_terminal(answer: str, status: int, lab: Lab, tmp_path: Path) -> None:
    arguments = f"{_BARE} -name guest=web1".split()
    out = tmp_path / "web1.mig"
    words = [sys.executable, "-m", "migratable", "capture", f"qmp:{tmp_path}/qmp", "-o", str(out)]
    with Running(lab("10.0").command, arguments, qmp_path=tmp_path / "qmp"):
        done = subprocess.run([*words, "--json"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "add --yes" in done.stderr  # nobody can be asked
        ours, theirs = pty.openpty()
        os.write(ours, f"{answer}\n".encode())
        answered = subprocess.run(
            [*words, "--json"], stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, check=False
        )
        os.close(theirs)
        said = os.read(ours, 65536).decode()
        os.close(ours)
        assert answered.returncode == status, said
        assert "Pause VM 'web1'" in said
        assert out.exists() == (answer == "y")
        if answer == "n":
            assert "not touched" in said
            return
        found = json.loads(answered.stdout)
        assert found["schema"] == "migratable.capture/1"
        assert found["bytes"] == out.stat().st_size
        assert out.stat().st_mode & 0o777 == 0o600
        done = subprocess.run([*words, "--yes"], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "exists" in done.stderr


def test_check_of_a_running_vm(lab: Lab, tmp_path: Path) -> None:
    arguments = ["-M", "pc-q35-7.2", "-m", "64", "-accel", "tcg", "-display", "none", "-nodefaults"]
    arguments += ["-device", "qemu-xhci"]
    words = [sys.executable, "-m", "migratable", "check", f"qmp:{tmp_path}/qmp"]
    line = [*lab("7.2").command, *arguments, "-serial", "null"]
    with Running(lab("10.0").command, arguments, qmp_path=tmp_path / "qmp") as running:
        for status, verdict in ((0, "loads"), (1, "refused")):
            if verdict == "refused":  # a device that the destination lacks
                running.qmp("device_add", driver="usb-mouse", id="mouse")
            done = subprocess.run(
                [*words, "--yes", "--json", "--no-hints", "--", *line],
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == status, done.stderr
            found = json.loads(done.stdout)
            assert found["verdict"] == verdict
        assert running.qmp("query-status")["status"] == "running"
