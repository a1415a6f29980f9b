"""The guests that ran are what they are for, and go on after real migrations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from migratable.check import check
from migratable.errors import LabError
from migratable.profile.collect import collect
from migratable.rehearse import rehearse
from migratable.stream import read
from migratable.stream.fields import decode
from migratable.stream.non_vmstate import virtio_of
from migratable.stream.virtio import Virtio, pci_capabilities
from migratable.verdict import Outcome
from tests.absent import absent
from tests.conftest import Lab
from tests.guests.machines import GUESTS, Guest, Running
from tests.guests.saved import booted, resumed

pytestmark = [pytest.mark.real, pytest.mark.slow]  # the first time, guests are booted
GuestStream = Callable[[str, str], Path]


def _virtio(path: Path) -> dict[str, Virtio]:
    devices = read(path).devices
    return {one.idstr: found for one in devices if (found := virtio_of(one)) is not None}


@pytest.mark.parametrize("release", ["7.2", "11.1"])
def test_pc_has_used_its_devices(release: str, guest_stream: GuestStream) -> None:
    found = _virtio(guest_stream("x86-linux", release))
    assert len(found) == 6
    for name, device in found.items():
        assert device.modern, name
        assert device.status & 7 == 7, name  # ACKNOWLEDGE, DRIVER, DRIVER_OK
        assert any(queue.desc for queue in device.queues), name
        assert device.pci_config is not None
        assert int.from_bytes(device.pci_config[4:6], "little") & 6, name  # memory, bus master
        if device.msix_entries is not None:
            where = dict(pci_capabilities(device.pci_config))[0x11]
            assert device.pci_config[where + 3] & 0x80, name  # MSI-X is on
    disk = next(device for name, device in found.items() if name.endswith("/virtio-blk"))
    assert any(queue.last_avail_idx for queue in disk.queues)
    behind = [one for one in found.values() if one.pci_config and len(one.pci_config) == 4096]
    assert len(behind) == 1  # the one on a PCI Express port


@pytest.mark.parametrize(("name", "radix"), [("ppc-linux", True), ("ppc-hash", False)])
def test_pseries_has_negotiated(name: str, radix: bool, guest_stream: GuestStream) -> None:
    stream = read(guest_stream(name, "7.2"))
    spapr, cpu, htab = stream.device("spapr"), stream.device("cpu"), stream.device("spapr/htab")
    assert spapr is not None
    assert cpu is not None
    assert htab is not None
    assert (
        decode(cpu).subsection("cpu/compat") is not None
    )  # client-architecture-support was called
    state = decode(spapr)
    assert state.subsection("spapr_irq_map") is not None  # XIVE
    assert (state.subsection("spapr_patb_entry") is not None) == radix
    assert (bytes(htab.body) == b"\xff\xff\xff\xff") == radix
    used = _virtio(guest_stream(name, "7.2"))
    assert sum(queue.last_avail_idx for one in used.values() for queue in one.queues) > 50


@pytest.mark.parametrize("name", ["x86-firmware", "ppc-firmware"])
def test_firmware_has_read_its_disk(name: str, guest_stream: GuestStream) -> None:
    found = _virtio(guest_stream(name, "7.2"))
    disk = next(device for one, device in found.items() if one.endswith("/virtio-blk"))
    assert disk.queues[0].last_avail_idx > 5


# Real migrations


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("x86-linux", "7.2", "10.0"),
        ("x86-linux", "5.2", "11.1"),
        ("x86-firmware", "11.1", "10.0"),
        ("ppc-awake", "7.2", "10.0"),
        ("ppc-awake-hash", "5.2", "10.0"),
    ],
)
def test_goes_on_after_migration(
    name: str, source: str, target: str, lab: Lab, tmp_path: Path
) -> None:
    guest = GUESTS[name]
    program = lab(source, guest.target)
    disk, address = tmp_path / "disk.img", f"unix:{tmp_path}/in"
    destination = Running(
        lab(target, guest.target).command, [*guest.command_line(disk), "-incoming", address]
    )
    try:
        # A load of 7.2 or older does not set the decrementer's timer again (cpu_post_load, TCG).
        start = booted if guest.target == "ppc64" else resumed
        with start(guest, program, tmp_path) as there, destination:
            assert there.migrate(address) == "completed"
            assert destination.await_count(there.count + 3) > there.count
    except LabError as error:
        absent(f"guest {name}: {error}")


@pytest.mark.parametrize(
    ("name", "source"), [("ppc-linux", "5.2"), ("ppc-hash", "7.2"), ("ppc-linux", "11.1")]
)
def test_pseries_that_sleeps_never_wakes_on_11_1(
    name: str, source: str, lab: Lab, guest_stream: GuestStream, tmp_path: Path
) -> None:
    """QEMU 11.1.2 (TCG) says "completed" for all; what tells them apart is a halted CPU."""
    guest, stream = GUESTS[name], guest_stream(name, source)
    cpu = read(stream).device("cpu_common")
    assert cpu is not None
    asleep = decode(cpu).value("halted") == 1
    line = guest.command_line(guest.disk(tmp_path))
    command = lab("11.1", "ppc64").command
    verdict = check(read(stream), collect([*command, *line, "-serial", "null"]))
    assert verdict.outcome is Outcome.LOADS
    assert ("sleeping-cpu" in {finding.rule for finding in verdict.findings}) == asleep
    with Running(command, [*line, "-incoming", "defer"]) as destination:
        assert destination.load(stream) == "completed"
        assert destination.goes_on(4.0 if asleep else 60.0) != asleep


# virtio-net on a tap: what the host's kernel offers is real


def _without_uso(guest: Guest, disk: Path) -> list[str]:
    uso = ",host_uso=on,guest_uso4=on,guest_uso6=on"
    return [word.removesuffix(uso) for word in guest.command_line(disk)]


@pytest.mark.parametrize(("source", "release"), [("10.0", "7.2"), ("11.1", "10.0")])
def test_uso_that_the_driver_took(
    source: str, release: str, lab: Lab, guest_stream: GuestStream, tmp_path: Path
) -> None:
    guest = GUESTS["x86-tap"]
    stream = guest_stream("x86-tap", source)
    network = next(one for name, one in _virtio(stream).items() if name.endswith("/virtio-net"))
    if not network.guest_features >> 56 & 1:  # VIRTIO_NET_F_HOST_USO
        pytest.skip("this host's kernel offers no USO on a tap (it came with Linux 6.2)")
    program = lab(release)
    line = _without_uso(guest, guest.disk(tmp_path))
    with Running(program.command, [*line, "-S", "-incoming", "defer"], tap=True) as destination:
        assert destination.load(stream) != "completed"
    real = [text for text in destination.lines if "Features 0x" in text]
    assert len(real) == 1
    words = [*program.command, *line, "-serial", "null"]
    for verdict in (check(read(stream), collect(words)), rehearse(read(stream), words)):
        assert verdict.outcome is Outcome.REFUSED
        assert verdict.first_refusal is not None
        assert verdict.first_refusal.message in real[0]
        assert real[0].partition(": ")[2] in verdict.first_refusal.stderr


def test_uso_where_it_is_offered(lab: Lab, guest_stream: GuestStream, tmp_path: Path) -> None:
    guest = GUESTS["x86-tap"]
    stream = guest_stream("x86-tap", "10.0")
    line = guest.command_line(guest.disk(tmp_path))
    program = lab("10.0")
    with Running(program.command, [*line, "-incoming", "defer"], tap=True) as destination:
        assert destination.load(stream) == "completed"
        assert destination.goes_on()
    words = [*program.command, *line, "-serial", "null"]
    for verdict in (check(read(stream), collect(words)), rehearse(read(stream), words)):
        assert verdict.outcome is Outcome.LOADS
