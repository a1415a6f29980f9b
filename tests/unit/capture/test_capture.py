"""What a capture asks, refuses, and makes of the answers; no QEMU."""

from __future__ import annotations

import contextlib
import os
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migratable.capture import assemble
from migratable.capture.guard import examine
from migratable.capture.loader_pages import address_of
from migratable.capture.monitor import SocketMonitor, mark
from migratable.capture.output import write_private
from migratable.capture.running import _Memory, capture, memory_of_text, pause_of
from migratable.errors import CaptureError, QemuError
from migratable.qemu.hmp import ram_blocks
from migratable.qemu.qmp import QmpError
from migratable.rehearse.memory_map import read_mtree
from migratable.stream import SectionKind, Stream, read, write
from migratable.stream.edit import full_section, make_stream
from migratable.stream.pages import find_pages
from tests.unit.capture.fake import MTREE, RAMBLOCK, FakeMonitor

GLOBALSTATE = (8).to_bytes(4, "big") + b"running".ljust(100, b"\0")


VAPIC = bytes(124) + (1).to_bytes(4, "big") + bytes(12) + (0xC0000).to_bytes(4, "big")
"""kvm-tpr-opt as firmware leaves it: state, …, address of its ROM."""


def _raw(*more: tuple[str, bytes]) -> bytes:
    """What xen-save-devices-state writes: no configuration, FULL sections only."""
    bodies = [("timer", bytes(24)), ("globalstate", GLOBALSTATE), *more]
    sections = [
        full_section(name, 0, 1, body, section_id=number)
        for number, (name, body) in enumerate(bodies)
    ]
    return write(make_stream(None, sections))


@contextlib.contextmanager
def _fake(raw: bytes = b"", **altered: Any) -> Iterator[FakeMonitor]:
    monitor = FakeMonitor(raw, **altered)
    with contextlib.closing(monitor):
        yield monitor


def _yes(words: str) -> bool:
    return True


def test_capture_is_a_full_stream() -> None:
    with _fake(_raw(("kvm-tpr-opt", VAPIC))) as monitor:
        captured = capture(monitor, confirm=_yes, untried=True)
    assert captured.pause == pytest.approx(0.0035)
    stream = read(captured.data)
    assert stream.machine == "pc-q35-10.0"
    assert stream.vmdesc is not None
    assert [(one.id, one.used_length) for one in stream.ram_blocks] == [
        ("pc.ram", 0x10000000),
        ("/rom@etc/acpi/tables", 0x20000),
    ]
    assert [(one.kind, one.idstr) for one in stream.sections] == [
        (SectionKind.START, "ram"),
        (SectionKind.END, "ram"),
        (SectionKind.FULL, "timer"),
        (SectionKind.FULL, "globalstate"),
        (SectionKind.FULL, "kvm-tpr-opt"),
    ]
    assert len({one.section_id for one in stream.sections}) == 4
    # An option ROM's header is made up where the loader looks; the guest's memory is not read.
    pages = find_pages(stream, {"pc.ram": [0xC0000]})
    assert pages["pc.ram", 0xC0000].startswith(b"\x55\xaa")
    assert "pmemsave" not in monitor.commands
    assert captured.profile.machine == "pc-q35-10.0"
    assert captured.profile.cpu_model == "qemu64"
    assert captured.source("qmp:/fake").facts["guest"] == "web1"


def test_descriptors_are_taken_back() -> None:
    with _fake(_raw()) as monitor:
        capture(monitor, confirm=_yes, untried=True)
    assert monitor.commands.count("add-fd") == monitor.commands.count("remove-fd") > 0


_OLD = {"qemu": {"major": 5, "minor": 2, "micro": 0}}
_NVME = {"name": "device[0]", "type": "child<nvme>"}


@pytest.mark.parametrize(
    ("altered", "words"),
    [
        ({"query_migrate": {"status": "active"}}, "a migration is in progress"),
        ({"query_migrate": {"status": "postcopy-paused"}}, "a migration is in progress"),
        ({"query_migrate": {"blocked-reasons": ["device vfio blocks"]}}, "vfio blocks"),
        (
            {"query_jobs": [{"id": "s", "type": "snapshot-save", "status": "running"}]},
            "a job is in progress: snapshot-save 's'",
        ),
        ({"query_block_jobs": [{"device": "d0", "type": "commit"}]}, "commit 'd0'"),
        ({"query_dump": {"status": "active"}}, "memory is being dumped"),
        ({"query_commands": []}, "has no command xen-save-devices-state"),
        ({"query_status": {"status": "suspended"}}, "wake it up"),
        ({"query_status": {"status": "inmigrate"}}, "capture the source"),
        ({"query_status": {"status": "postmigrate"}}, "capture the VM there"),
        ({"query_status": {"status": "save-vm"}}, "being saved"),
        ({"query_status": {"status": "brand-new"}}, "cannot be captured in this state"),
        ({"query_version": {"qemu": "?"}}, "query-version"),
        ({"query_version": _OLD, "qom_list": [_NVME]}, "'nvme'.*cannot be saved; unplug it"),
        ({"query_version": {"qemu": {"major": 3, "minor": 1, "micro": 0}}}, "would crash"),
    ],
)
def test_refuses(altered: dict[str, Any], words: str) -> None:
    with _fake(_raw(), **altered) as monitor, pytest.raises(CaptureError, match=words):
        capture(monitor, confirm=_yes, untried=True)
    assert all(name.startswith(("query-", "qom-")) for name in monitor.commands)


def test_only_reads_before_confirmation() -> None:
    asked: list[list[str]] = []

    def no(words: str) -> bool:
        assert "milliseconds" in words
        assert "web1" in words
        asked.append(list(monitor.commands))
        return False

    with _fake(_raw()) as monitor, pytest.raises(CaptureError, match="not touched"):
        capture(monitor, confirm=no, untried=True)
    reading = ("query-", "qom-get", "human-monitor-command")
    assert all(name.startswith(reading) for name in asked[0])
    assert monitor.commands == asked[0]


def test_finished_jobs_and_unknown_dumps_are_no_hindrance() -> None:
    jobs = [{"id": "old", "type": "backup", "status": "concluded"}]
    missing = QmpError("query-dump", "CommandNotFound", "no")
    with _fake(_raw(), query_jobs=jobs, query_dump=missing) as monitor:
        assert examine(monitor).running


def test_what_was_not_examined_is_said() -> None:
    on = [{"capability": "x-ignore-shared", "state": True}]
    arch = {"arch": "aarch64"}
    with _fake(query_migrate_capabilities=on, query_version=_OLD, query_target=arch) as monitor:
        said = examine(monitor).unchecked
    assert len(said) == 3
    assert "migration blockers" in said[0]
    assert "aarch64" in said[1]
    assert "x-ignore-shared" in said[2]


def test_state_that_is_another_afterwards() -> None:
    class Stuck(FakeMonitor):
        def execute(self, command: str, *args: Any, **more: Any) -> Any:
            if command == "query-status" and "xen-save-devices-state" in self.commands:
                return {"status": "save-vm"}
            return super().execute(command, *args, **more)

    with (
        contextlib.closing(Stuck(_raw())) as monitor,
        pytest.raises(CaptureError, match=r"was running and is 'save-vm'.*check it"),
    ):
        capture(monitor, confirm=_yes, untried=True)


@pytest.mark.parametrize("raw", [b"", b"QEVM", b"QEVM\0\0\0\3\0", _raw()[:-30]])
def test_half_a_device_state(raw: bytes) -> None:
    with _fake(raw) as monitor, pytest.raises(CaptureError, match="device state"):
        capture(monitor, confirm=_yes, untried=True)


def test_paused_vm_says_so_in_its_stream() -> None:
    paused = {"status": "prelaunch"}
    with _fake(_raw(), query_status=paused) as monitor:
        captured = capture(monitor, confirm=_yes, untried=True)
    assert captured.pause == 0.0
    body = read(captured.data).device("globalstate")
    assert body is not None
    assert bytes(body.body) == (10).to_bytes(4, "big") + b"prelaunch".ljust(100, b"\0")


def test_uuid_is_sent_when_it_is_validated() -> None:
    on = [{"capability": "validate-uuid", "state": True}]
    with _fake(_raw(), query_migrate_capabilities=on) as monitor:
        configuration = read(capture(monitor, confirm=_yes, untried=True).data).configuration
    assert configuration is not None
    assert str(configuration.uuid) == "12345678-1234-5678-1234-567812345678"


def _fdt(shift: int) -> bytes:
    strings = b"other\0ibm,pft-size\0"
    prop = struct.pack(">III", 3, 8, 6) + struct.pack(">II", 0, shift)
    other = struct.pack(">III", 3, 5, 0) + b"abcde\0\0\0"
    node = struct.pack(">I", 1) + b"cpus\0\0\0\0"
    structure = struct.pack(">I", 1) + bytes(4) + other + node + prop
    structure += struct.pack(">IIII", 2, 4, 2, 9)
    head = struct.pack(
        ">10I", 0xD00DFEED, 0, 40, 40 + len(structure), 0, 17, 16, 0, len(strings), len(structure)
    )
    return head + structure + strings


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"x" * 40 + _fdt(24), 24),
        (b"x" * 40 + b"\5\x10spapr_patb_entry" + _fdt(24), 0xFFFFFFFF),
        (b"no tree", 0xFFFFFFFF),
        (_fdt(24)[:50], 0xFFFFFFFF),
    ],
)
def test_hash_table_of_pseries(body: bytes, expected: int) -> None:
    state = assemble.device_state(_raw(("spapr", body)))
    stream = assemble.full_stream(state, machine="pseries-7.2", status="running", blocks=[])
    start = stream.device("spapr/htab")
    assert start is not None
    assert bytes(start.body) == expected.to_bytes(4, "big")


def test_ram_blocks() -> None:
    found = [(block.name, block.used, block.maximum) for block in ram_blocks(RAMBLOCK)]
    assert found == [
        ("pc.ram", 0x10000000, 0x10000000),
        ("/rom@etc/acpi/tables", 0x20000, 0x200000),
    ]


def test_addresses_of_blocks() -> None:
    memory = read_mtree(MTREE, ["pc.ram"])
    assert address_of(memory, "pc.ram", 0x5000) == 0x5000
    assert address_of(memory, "pc.ram", 0x80001000) == 0x100001000
    assert address_of(memory, "pc.ram", 1 << 40) is None
    assert address_of(memory, "other", 0) is None


@pytest.mark.parametrize(("release", "running"), [((10, 0), True), ((7, 2), False)])
def test_memory_comes_as_text_where_qemu_opens_no_file(
    release: tuple[int, int], running: bool
) -> None:
    status = "running" if running else "paused"
    version = {"qemu": {"major": release[0], "minor": release[1], "micro": 0}}
    altered: dict[str, Any] = {"query_status": {"status": status}, "query_version": version}
    with _fake(**altered) as monitor, contextlib.closing(_memory(monitor)) as memory:
        assert memory.read(0xC0F00, 8192) == bytes(
            at >> 8 & 255 for at in range(0xC0F00, 0xC0F00 + 8192)
        )
    assert monitor.commands.count("pmemsave") == 1
    # Before 9.1 a VM that does not run keeps what it was handed.
    assert ("add-fd" in monitor.commands) == running
    assert monitor.commands.count("add-fd") == monitor.commands.count("remove-fd")


def test_what_a_killed_capture_left_is_taken_back() -> None:
    """Of this tool's, and of processes that are gone; not libvirt's, nor another namespace's."""
    with subprocess.Popen(["sleep", "60"]) as process:
        dead = mark(process.pid)
        process.kill()
    *same, there = dead.split()
    others = {
        1: "libvirt",
        2: mark(os.getpid()),
        3: " ".join([*same, f"{there}0"]),
        4: "migratable x y z",
    }
    with _fake(_raw()) as monitor:
        monitor.sets = others | {5: dead}
        capture(monitor, confirm=_yes, untried=True)
        assert monitor.sets == others


def _memory(monitor: FakeMonitor) -> _Memory:
    return _Memory(monitor, examine(monitor))


def test_memory_as_text() -> None:
    assert memory_of_text("0000000000001000: 0x00 0x7f 0xff\r\n", 3) == b"\0\x7f\xff"
    with pytest.raises(CaptureError, match="Cannot access memory"):
        memory_of_text("0000000000001000: Cannot access memory\r\n", 3)


def test_pause_without_both_events() -> None:
    event = {"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 0}}
    assert pause_of([event]) is None
    assert pause_of([]) is None


@pytest.mark.parametrize("nameless", [True, False])
def test_output_is_private_and_whole(
    nameless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not nameless:

        def unknown(folder: Path) -> int:
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr("migratable.capture.output._nameless", unknown)
    path = tmp_path / "a.mig"
    write_private(path, b"one")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CaptureError, match="--force"):
        write_private(path, b"two")
    assert path.read_bytes() == b"one"
    write_private(path, b"two", replace=True)
    assert path.read_bytes() == b"two"
    with pytest.raises(CaptureError, match="cannot be written"):
        write_private(tmp_path / "absent" / "a.mig", b"x")
    assert [one.name for one in tmp_path.iterdir()] == ["a.mig"]


def test_sockets_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="No such file"):
        SocketMonitor(tmp_path / "absent")
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(CaptureError, match="no QEMU listens"):
        SocketMonitor(file)


def test_long_socket_path(tmp_path: Path) -> None:
    import socket
    import threading

    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(folder):
        server.bind("qmp")
        server.listen()

        def serve() -> None:
            with server.accept()[0] as client:
                client.sendall(b'{"QMP": {"version": {}, "capabilities": []}}\n')
                client.recv(4096)
                client.sendall(b'{"return": {}}\n')

        thread = threading.Thread(target=serve)
        thread.start()
        SocketMonitor(folder / "qmp").close()
        thread.join()


def test_qemu_that_hangs_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hung(FakeMonitor):
        def execute(self, command: str, *args: Any, **more: Any) -> Any:
            raise QemuError("QMP query-version: no answer in time; the program hangs")

    with contextlib.closing(Hung()) as monitor, pytest.raises(QemuError, match="hangs"):
        capture(monitor, confirm=_yes, untried=True)


def test_stream_of_its_own_reads_back() -> None:
    state = assemble.device_state(_raw())
    made: Stream = assemble.full_stream(state, machine="m", status="running", blocks=[])
    assert write(read(write(made))) == write(made)
