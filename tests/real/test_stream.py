"""Streams of the real releases: read to the last byte, written again, loaded without RAM."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from migratable.capture.source import open_source
from migratable.lab import Installed
from migratable.stream import read, write
from migratable.stream.containers import map_file, multifd
from migratable.stream.edit import elide_ram
from migratable.stream.fields import decode
from migratable.stream.non_vmstate import virtio_of
from tests.unit.stream import tiny

Lab = Callable[..., Installed]
RELEASES = ["5.2", "7.2", "10.0", "11.1"]
MACHINES = {
    "q35": ("x86_64", ["-M", "q35", "-m", "64M", "-device", "pcie-root-port,id=rp,chassis=1",
                       "-netdev", "user,id=n0", "-device", "virtio-net-pci,netdev=n0,bus=rp",
                       "-device", "virtio-rng-pci", "-device", "virtio-gpu-pci",
                       "-device", "virtio-balloon-pci", "-device", "qemu-xhci"]),
    "pc": ("x86_64", ["-M", "pc", "-m", "32M", "-smp", "2", "-device", "virtio-serial-pci",
                      "-device", "virtio-keyboard-pci,packed=on", "-device", "cirrus-vga"]),
    "pseries": ("ppc64", ["-M", "pseries", "-m", "256M", "-device", "virtio-net-pci",
                          "-device", "spapr-vscsi"]),
}  # fmt: skip
pytestmark = [pytest.mark.real]


class Qmp:
    """A paused machine and its QMP on standard input and output."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, name: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            answer = json.loads(line)
            if "return" in answer or "error" in answer:
                return answer.get("return", answer)
        raise AssertionError(f"QEMU ended at {name}")

    def migrated(self) -> str:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            status = str(self.ask("query-migrate").get("status"))
            if status in ("completed", "failed"):
                return status
            time.sleep(0.02)
        raise AssertionError("the migration takes longer than a minute")


@contextmanager
def machine(command: list[str]) -> Iterator[Qmp]:
    pipe = subprocess.PIPE
    words = [*command, "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"]
    with subprocess.Popen(
        words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        timer = threading.Timer(120, process.kill)
        timer.start()
        try:
            qmp = Qmp(process)
            qmp.ask("qmp_capabilities")
            yield qmp
        finally:
            timer.cancel()
            process.kill()


def save(command: list[str], path: Path, *capabilities: str, uri: str | None = None) -> None:
    with machine(command) as qmp:
        if capabilities:
            states = [{"capability": one, "state": True} for one in capabilities]
            answer = qmp.ask("migrate-set-capabilities", capabilities=states)
            assert answer == {}, answer
        qmp.ask("migrate", uri=uri or f"exec:cat > {path}")
        assert qmp.migrated() == "completed"


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("release", RELEASES)
def test_read_written_and_loaded_without_ram(
    lab: Lab, tmp_path: Path, release: str, name: str
) -> None:
    arch, arguments = MACHINES[name]
    command = [*lab(release, arch).command, *arguments]
    path = tmp_path / "stream"
    save(command, path)
    stream = read(path, ram=True)
    assert write(stream) == path.read_bytes()
    assert stream.vmdesc is not None
    assert len(stream.devices) == len(stream.vmdesc.devices)
    for section in stream.devices:
        body = decode(section)
        assert body.rest is None
        assert body.size == len(section.body), section.name
        virtio_of(section)
    assert stream.ram_statistics is not None
    for block in stream.ram_blocks:
        assert stream.ram_statistics.blocks[block.id].records >= block.used_length // 4096
    small = tmp_path / "small"
    small.write_bytes(write(elide_ram(stream)))
    with machine([*command, "-incoming", "defer"]) as qmp:
        qmp.ask("migrate-incoming", uri=f"exec:cat {small}")
        assert qmp.migrated() == "completed"


@pytest.mark.parametrize("capability", ["x-ignore-shared", "mapped-ram"])
@pytest.mark.parametrize("release", RELEASES)
def test_capabilities(lab: Lab, tmp_path: Path, release: str, capability: str) -> None:
    if capability == "mapped-ram" and release in ("5.2", "7.2"):
        pytest.skip("mapped-ram came with 9.0")
    path = tmp_path / "stream"
    arch, arguments = MACHINES["pc"]
    uri = f"file:{path}" if capability == "mapped-ram" else None
    save([*lab(release, arch).command, *arguments], path, capability, uri=uri)
    stream = read(path, ram=True)
    assert stream.configuration is not None
    assert stream.configuration.capabilities == (capability,)
    assert write(stream) == path.read_bytes()
    main = stream.ram_blocks[0]
    assert (main.mapped is not None) == (capability == "mapped-ram")
    assert (main.gpa == 0) == (capability == "x-ignore-shared")


@pytest.mark.parametrize("release", RELEASES)
def test_multifd(lab: Lab, tmp_path: Path, release: str) -> None:
    """The main channel is a stream, the others are RAM packets that end with the channel."""
    import socket

    arch, arguments = MACHINES["pc"]
    channels: list[Path] = []
    pumps: list[threading.Thread] = []
    address = os.path.relpath(tmp_path / "socket")

    def pump(connection: socket.socket, path: Path) -> None:
        with connection, path.open("wb") as file:
            while piece := connection.recv(1 << 20):
                file.write(piece)

    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(8)

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                channels.append(tmp_path / f"channel{len(channels)}")
                pumps.append(threading.Thread(target=pump, args=(connection, channels[-1])))
                pumps[-1].start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        absolute = tmp_path / "socket"
        save([*lab(release, arch).command, *arguments], absolute, "multifd", uri=f"unix:{absolute}")
        server.shutdown(socket.SHUT_RDWR)
    for one in pumps:
        one.join()
    side = [path for path in channels if multifd.is_channel(map_file(path))]
    [main] = [path for path in channels if path not in side]
    stream = read(main, ram=True)
    assert write(stream) == main.read_bytes()
    pages = sum(
        block.normal + block.zero
        for path in side
        for block in multifd.read_channel(map_file(path)).blocks.values()
    )
    assert stream.ram_statistics is not None
    pages += sum(count.records for count in stream.ram_statistics.blocks.values())
    assert len(side) == 2
    assert pages >= sum(block.used_length for block in stream.ram_blocks) // 4096


@pytest.mark.parametrize("release", RELEASES)
def test_savevm(lab: Lab, tmp_path: Path, release: str) -> None:
    """An internal snapshot in an image that QEMU made itself."""
    image = tmp_path / "disk.qcow2"
    arch, arguments = MACHINES["pc"]
    command = lab(release, arch).command
    with machine([*command, "-M", "none"]) as qmp:
        image.touch()
        file = {"driver": "file", "filename": str(image)}
        for number, options in enumerate(
            ({"driver": "file", "filename": str(image), "size": 0},
             {"driver": "qcow2", "file": "f", "size": 64 << 20})
        ):  # fmt: skip
            qmp.ask("blockdev-create", **{"job-id": f"j{number}", "options": options})
            while qmp.ask("query-jobs")[0]["status"] != "concluded":
                time.sleep(0.01)
            qmp.ask("job-dismiss", id=f"j{number}")
            if not number:
                qmp.ask("blockdev-add", **{"node-name": "f"} | file)
    drive = ["-drive", f"if=none,id=d,file={image},format=qcow2"]
    with machine([*command, *arguments, *drive]) as qmp:
        for name in ("first", "second"):
            answer = qmp.ask("human-monitor-command", **{"command-line": f"savevm {name}"})
            assert answer == "", answer
    for name in ("first", "second"):
        stream = read(image, snapshot=name, ram=True)
        assert stream.container == "qcow2"
        assert stream.vmdesc is not None
        assert len(stream.devices) == len(stream.vmdesc.devices)
        source = open_source(f"{image}#{name}")
        assert source.facts["container"] == "qcow2"
        assert source.stream.device("timer") == stream.device("timer")


def test_streams_of_releases_that_nobody_packages(shared_folder: Path) -> None:
    folder = shared_folder / "oracle"
    paths = [
        *folder.glob("streams/*.xz"),
        *folder.glob("running/*.mig.xz"),
        *folder.glob("save-images/*.xz"),
    ]
    assert paths
    for path in paths:
        stream = read(path, ram=True)
        assert stream.vmdesc is not None
        assert len(stream.devices) == len(stream.vmdesc.devices), path
        for section in stream.devices:
            body = decode(section)
            assert body.rest is None, (path, section.name)
            blob = virtio_of(section)
            if blob is not None and blob.device:
                known = blob.body.field("device")
                assert known is not None and known.children, (path, section.name)


def test_golden_streams_are_all_there() -> None:
    assert len(tiny.NAMES) >= 12
