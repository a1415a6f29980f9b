"""A VM's monitor that answers from a table."""

from __future__ import annotations

import os
from typing import Any

from migratable.qemu.qmp import QmpError

CALM: dict[str, Any] = {
    "query-status": {"status": "running", "running": True},
    "query-version": {"qemu": {"major": 10, "minor": 0, "micro": 13}, "package": "Debian"},
    "query-migrate": {},
    "query-jobs": [],
    "query-block-jobs": [],
    "query-dump": {"status": "none"},
    "query-commands": [{"name": "xen-save-devices-state"}],
    "query-target": {"arch": "x86_64"},
    "query-name": {"name": "web1"},
    "query-migrate-capabilities": [{"capability": "xbzrle", "state": False}],
    "query-cpus-fast": [{"qom-path": "/cpu"}],
    "query-uuid": {"UUID": "12345678-1234-5678-1234-567812345678"},
    "query-pci": [],
    "query-kvm": {"enabled": False},
    "qom-list": [{"name": "type", "type": "string"}, {"name": "d0", "type": "child<e1000>"}],
}
QOM = {"/machine.type": "pc-q35-10.0-machine", "/cpu.type": "qemu64-x86_64-cpu"}
_ROWS = (
    "              Block Name    PSize              Offset               Used              Total",
    "                  pc.ram    4 KiB  0x0000000000000000 0x0000000010000000 0x0000000010000000",
    "    /rom@etc/acpi/tables    4 KiB  0x0000000010100000 0x0000000000020000 0x0000000000200000",
    "                            4 KiB  0x0000000010300000 0x0000000000001000 0x0000000000001000",
)
RAMBLOCK = "".join(f"{row} 0x00007f80cbe00000  rw\r\n" for row in _ROWS)
MTREE = """\
FlatView #0
 AS "I/O", root: io
 Root memory region: io
  0000000000000000-000000000000ffff (prio 0, ram): decoy

FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  0000000000000000-00000000000bffff (prio 0, ram): pc.ram
  00000000000c0000-00000000000dffff (prio 1, rom): pc.rom
  0000000000100000-000000000fffffff (prio 0, ram): pc.ram @0000000000100000
  0000000100000000-000000013fffffff (prio 0, ram): pc.ram @0000000080000000

"""


class FakeMonitor:
    """Answers as :data:`CALM` says, but for what a test alters.

    :ivar commands: the names of all commands that came.
    :ivar sets: what was handed over and not taken back, by the set's number.
    """

    name = "qmp:/fake"

    def __init__(self, raw: bytes = b"", **altered: Any) -> None:
        self._raw = raw
        self._answers = CALM | {name.replace("_", "-"): value for name, value in altered.items()}
        self._files: list[int] = []
        self.commands: list[str] = []
        self.sets: dict[int, str] = {}

    def execute(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        *,
        fd: int | None = None,
        timeout: float = 30.0,
    ) -> Any:
        self.commands.append(command)
        arguments = arguments or {}
        if command == "add-fd":
            assert fd is not None
            self._files.append(os.dup(fd))
            self.sets[arguments["fdset-id"]] = arguments["opaque"]
            return {"fdset-id": arguments["fdset-id"], "fd": self._files[-1]}
        if command == "remove-fd":
            del self.sets[arguments["fdset-id"]]
            return {}
        if command == "query-fdsets":
            return [
                {"fdset-id": number, "fds": [{"fd": 9, "opaque": opaque}, {"fd": 10}]}
                for number, opaque in self.sets.items()
            ]
        if command == "xen-save-devices-state":
            assert arguments["live"] is False
            os.write(self._files[-1], self._raw)
            return {}
        if command == "pmemsave":
            raise QmpError(command, "GenericError", "Could not open '/proc/self/fd/9'")
        if command == "human-monitor-command":
            return self._human(arguments["command-line"])
        if command == "qom-get":
            name = f"{arguments['path']}.{arguments['property']}"
            if name not in QOM:
                raise QmpError(command, "GenericError", f"no property {name}")
            return QOM[name]
        answer = self._answers[command]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _human(self, line: str) -> str:
        if line == "info ramblock":
            return RAMBLOCK
        if line == "info mtree -f":
            return MTREE
        words = line.split()
        assert words[0] == "xp"
        address, count = int(words[2], 16), int(words[1][1:-2])
        data = [at >> 8 & 255 for at in range(address, address + count)]
        rows = [
            f"{address + at:016x}: " + " ".join(f"{byte:#04x}" for byte in data[at : at + 8])
            for at in range(0, count, 8)
        ]
        return "\r\n".join(rows) + "\r\n"

    def events(self) -> list[dict[str, Any]]:
        if "xen-save-devices-state" not in self.commands:
            return []
        return [
            {"event": "STOP", "timestamp": {"seconds": 10, "microseconds": 999_000}},
            {"event": "RESUME", "timestamp": {"seconds": 11, "microseconds": 2_500}},
        ]

    def process(self) -> int | None:
        return None

    def close(self) -> None:
        """Close what was handed over."""
        for one in self._files:
            os.close(one)
