"""Converted streams are loaded by the real destination, as QEMU alone would load them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from migratable.campaign.case import Side
from migratable.campaign.process import Qemu
from migratable.campaign.runner import load, save
from migratable.errors import LabError
from migratable.lab import find
from migratable.rehearse import Destination
from migratable.rehearse.destination import try_destination
from migratable.rehearse.resave import Resave
from migratable.stream import read
from migratable.stream.compare import Kind, compare
from tests.absent import absent
from tests.conftest import Lab
from tests.guests.machines import GUESTS
from tests.guests.saved import stream as saved_stream

pytestmark = pytest.mark.real

_Q35 = "-machine pc-q35-10.0 -m 64 -nodefaults -display none -serial null"
_PSERIES = "-machine pseries-5.2 -cpu power9_v2.0 -m 256 -nodefaults -display none"
#: Devices whose queues are smaller than 1024 entries in 11.1.
IDLE = (
    "virtio-rng-pci",
    "virtio-tablet-pci",
    "virtio-keyboard-pci",
    "virtio-balloon-pci",
    "virtio-net-pci",
    "virtio-scsi-pci",
    "virtio-serial-pci",
    "virtio-gpu-pci",
)


def side(lab: Lab, release: str, arch: str, arguments: str, *, run: float = 0.0) -> Side:
    lab(release, arch)
    return Side(release=release, arch=arch, argv=tuple(shlex.split(arguments)), run=run)


def convert(*args: str, status: int | None = 0) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "migratable", "convert", "--json", *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if status is not None:
        assert done.returncode == status, done.stdout[-2000:] + done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def line(one: Side) -> list[str]:
    return ["--", f"lab:{one.release}/{one.arch}", *one.argv]


@pytest.mark.parametrize("run", [0.0, 1.0], ids=["paused", "firmware"])
def test_idle_virtio_devices_from_10_0_to_11_1(lab: Lab, tmp_path: Path, run: float) -> None:
    """No option of the destination cures what 10.0 sends for them."""
    devices = " ".join(f"-device {one}" for one in IDLE)
    source = side(lab, "10.0", "x86_64", f"{_Q35} {devices}", run=run)
    to = side(lab, "11.1", "x86_64", f"{_Q35} {devices}")
    before, after = tmp_path / "before", tmp_path / "after"
    assert save(source, before)[0]["status"] == "saved"
    assert load("", source, to, before).status == "refused"
    plan = tmp_path / "plan"
    found = convert(str(before), "-o", str(after), "--plan", str(plan), *line(to))
    assert found["converted"] and found["verdict"]["basis"] == "rehearsed"  # type: ignore[index]
    edits = json.loads(plan.read_text())["edits"]
    assert {one["kind"] for one in edits} == {"virtio-queue-size"}
    assert len(edits) >= len(IDLE) - 1
    assert load("", source, to, after).status == "loads"
    back = tmp_path / "back"
    convert(str(after), "-o", str(back), "--undo", str(plan), *line(source))
    assert back.read_bytes() == before.read_bytes()


@pytest.mark.parametrize("release", ["7.2", "10.0", "11.1"])
def test_pseries_to_5_2_keeps_every_register(lab: Lab, tmp_path: Path, release: str) -> None:
    """spapr_iommu version 3 and cpu/slb version 2, which 5.2 does not read."""
    source = side(lab, release, "ppc64", _PSERIES, run=1.0)
    to = side(lab, "5.2", "ppc64", _PSERIES)
    before, after = tmp_path / "before", tmp_path / "after"
    assert save(source, before)[0]["status"] == "saved"
    assert load("", source, to, before).status == "refused"
    found = convert(str(before), "-o", str(after), *line(to))
    assert {one["class"] for one in found["plan"]["edits"]} == {"equivalent"}  # type: ignore[index]
    assert load("", source, to, after).status == "loads"
    again = Resave()
    where = Destination(command_line=[f"lab:5.2/{to.arch}", *to.argv])
    try_destination(read(after), where, loaded=again)
    differing = {
        (one.section, one.path[-1])
        for one in compare(read(after), read(again.data))
        if one.kind is Kind.VALUE
    }
    # Clocks go on, and ppc's cpu_post_load asks for the TLB to be looked at again.
    clocks = {("spapr", "guest_timebase"), ("spapr", "time_of_the_day_ns")}
    assert differing <= {*clocks, ("cpu_common", "interrupt_request")}


def test_fields_that_the_destination_lacks(lab: Lab, tmp_path: Path) -> None:
    """11.1 sends the mode of an ESP controller without a version, and a BMC's LAN with one."""
    arguments = (
        "-machine pc-i440fx-5.2 -m 64 -nodefaults -display none -serial null -device am53c974 "
        "-device ipmi-bmc-sim,id=bmc -device isa-ipmi-kcs,bmc=bmc"
    )
    source = side(lab, "11.1", "x86_64", arguments, run=1.0)
    to = side(lab, "10.0", "x86_64", arguments)
    before, after = tmp_path / "before", tmp_path / "after"
    assert save(source, before)[0]["status"] == "saved"
    assert load("", source, to, before).status == "refused"
    found = convert(str(before), "-o", str(after), *line(to))
    edits = found["plan"]["edits"]  # type: ignore[index]
    assert [one["class"] for one in edits] == ["equivalent"] * 3
    assert {one["kind"] for one in edits} == {"section-layout", "newer-version"}
    assert load("", source, to, after).status == "loads"


@pytest.mark.parametrize(
    ("name", "source", "destination"),
    [("x86-firmware", "10.0", "11.1"), ("ppc-linux", "7.2", "5.2")],
)
def test_guests_that_ran_go_on(
    lab: Lab, tmp_path: Path, name: str, source: str, destination: str
) -> None:
    guest = GUESTS[name]
    try:
        before = saved_stream(name, lab(source, guest.target))
    except LabError as error:
        absent(f"guest {name}: {error}")
    lab(destination, guest.target)
    words = [*guest.command_line(guest.disk(tmp_path)), "-serial", "stdio"]
    after = tmp_path / "after"
    watched = ["--alive", "--watch", "8", "--timeout", "120"]
    to = ["--", f"lab:{destination}/{guest.target}", *words]
    for _ in range(3):  # a pseries guest does not always wake up, of 5.2 in 5.2 neither
        found = convert(str(before), "-o", str(after), *watched, *to, status=None)
        if found["converted"]:
            break
    assert found["plan"]["edits"]  # type: ignore[index]
    state = found["verdict"]["destination"]["guest"]["state"]  # type: ignore[index]
    assert state == "runs"


def test_a_linux_guest_with_busy_queues_is_refused_with_the_reason(
    lab: Lab, tmp_path: Path
) -> None:
    guest = GUESTS["x86-linux"]
    try:
        before = saved_stream("x86-linux", lab("10.0", guest.target))
    except LabError as error:
        absent(f"guest: {error}")
    lab("11.1", guest.target)
    words = [*guest.command_line(guest.disk(tmp_path)), "-serial", "stdio"]
    after = tmp_path / "after"
    found = convert(
        str(before), "-o", str(after), "--", f"lab:11.1/{guest.target}", *words, status=1
    )
    reasons = [text for one in found["stuck"] for text in one["reasons"]]  # type: ignore[attr-defined]
    assert any("is in use with 1024 entries" in text for text in reasons)
    assert not after.exists()


def test_mapped_ram_keeps_pages_and_holes(lab: Lab, tmp_path: Path) -> None:
    arguments = f"{_Q35} -device virtio-rng-pci"
    to = side(lab, "11.1", "x86_64", arguments)
    side(lab, "10.0", "x86_64", arguments)
    before, after = tmp_path / "before", tmp_path / "after"
    capability = [{"capability": "mapped-ram", "state": True}]
    with Qemu(find("10.0", "x86_64").command, [*to.argv], timeout=60) as qemu:
        time.sleep(1.0)
        qemu.qmp("stop")
        qemu.qmp("migrate-set-capabilities", capabilities=capability)
        qemu.qmp("migrate", uri=f"file:{before}")
        assert qemu.settled(60) == "completed"
    convert(str(before), "-o", str(after), *line(to))
    old, new = before.stat(), after.stat()
    assert new.st_size == old.st_size and new.st_blocks <= old.st_blocks + 64
    with Qemu(find("11.1", "x86_64").command, [*to.argv, "-incoming", "defer"], timeout=60) as qemu:
        qemu.qmp("migrate-set-capabilities", capabilities=capability)
        qemu.qmp("migrate-incoming", uri=f"file:{after}")
        assert qemu.settled(60) == "completed"


def test_killed_at_any_moment_nothing_is_left(lab: Lab, tmp_path: Path) -> None:
    arguments = f"{_Q35} -device virtio-rng-pci"
    source = side(lab, "10.0", "x86_64", arguments)
    to = side(lab, "11.1", "x86_64", arguments)
    before = tmp_path / "before"
    assert save(source, before)[0]["status"] == "saved"
    for number in range(6):
        words = [str(before), "-o", str(tmp_path / "after"), "--force", *line(to)]
        process = subprocess.Popen(
            [sys.executable, "-m", "migratable", "convert", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(0.4 * (number + 1))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        left = {path.name for path in tmp_path.iterdir()}
        assert left <= {"before", "after"}
        if "after" in left:  # it was quicker
            assert read(tmp_path / "after").devices
