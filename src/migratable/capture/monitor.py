"""The monitor of a running VM, and a way to receive bytes without a path that both sides see.

QEMU writes files by name, and may live in a container, a mount namespace or under another user.
So it is handed an open descriptor of a file in our memory (``add-fd``), and told its name on
QEMU's side: ``/dev/fdset/N`` where QEMU opens through its own layer
(``qio_channel_file_new_path``), ``/proc/self/fd/M`` where it uses ``fopen`` (``pmemsave``). Both
work on 5.2 to 11.1.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import struct
from pathlib import Path
from typing import Any, Protocol

from migratable.errors import CaptureError, QemuError
from migratable.qemu.process import private_path
from migratable.qemu.qmp import Qmp, QmpClosedError, QmpError
from migratable.regular_file import open_regular

GREETING_SECONDS = 5.0
MOST_STATE = 1 << 30
"""Bytes: device state has no RAM, and the largest that was ever seen has some ten MiB."""
_MARK = "migratable"


class Executes(Protocol):
    """Runs QMP commands."""

    def execute(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        *,
        fd: int | None = None,
        timeout: float = 30.0,
    ) -> Any:
        """Run a QMP command.

        :param fd: an open file to hand over with it.
        :raise QmpError: When QEMU answers with an error.
        :raise QemuError: When it does not answer.
        """


class Monitor(Executes, Protocol):
    """What a capture needs of a running VM.

    :ivar name: how messages call the VM.
    """

    name: str

    def events(self) -> list[dict[str, Any]]:
        """Events that came since the last call; empty where they cannot be had."""

    def process(self) -> int | None:
        """The VM's process on this machine; None when it is not known."""


class SocketMonitor:
    """A QMP socket of the VM itself.

    :raise CaptureError: When there is no such socket, or another client holds it.
    """

    def __init__(self, path: Path) -> None:
        """Connect and negotiate."""
        self.name = str(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(GREETING_SECONDS)
            _connect(sock, path)
        except OSError as error:
            sock.close()
            raise CaptureError(_no_connection(path, error)) from None
        self._pid = _listener(sock)
        self._qmp = Qmp(sock)
        try:
            self._qmp.negotiate(GREETING_SECONDS)
        except QmpClosedError:
            sock.close()
            raise CaptureError(f"qmp:{path}: the connection ended; is this a QMP socket?") from None
        except QemuError as error:
            sock.close()
            raise CaptureError(
                f"qmp:{path}: no greeting of QMP ({error}); a monitor serves one client at a time: "
                "end the other one, give the VM a second -qmp socket, or use libvirt:DOMAIN; "
                "a human monitor (HMP, -monitor) is not supported"
            ) from None

    def execute(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        *,
        fd: int | None = None,
        timeout: float = 30.0,
    ) -> Any:
        """Run a QMP command; raises as :class:`Monitor` says."""
        return self._qmp.execute(command, arguments, timeout=timeout, fd=fd)

    def events(self) -> list[dict[str, Any]]:
        """Events that came since the last call."""
        found = list(self._qmp.events)
        self._qmp.events.clear()
        return found

    def process(self) -> int | None:
        """Who listens at the socket, as the kernel noted it then."""
        return self._pid

    def close(self) -> None:
        """Leave the VM alone."""
        self._qmp.close()


def _listener(sock: socket.socket) -> int | None:
    """The process that listens; None for one of another PID namespace."""
    size = struct.calcsize("3i")
    pid, _, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(pid) or None


def _connect(sock: socket.socket, path: Path) -> None:
    """Connect; an address has 107 bytes, so a longer path goes through its folder's descriptor."""
    if len(os.fsencode(str(path))) <= 107:
        sock.connect(str(path))
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        sock.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _no_connection(path: Path, error: OSError) -> str:
    why = f"qmp:{path}: {error.strerror or error}"
    if isinstance(error, FileNotFoundError):
        return f"{why}; give the path of a -qmp unix:PATH,server=on,wait=off socket"
    if isinstance(error, ConnectionRefusedError):
        return f"{why}; no QEMU listens there (any more)"
    if isinstance(error, PermissionError):
        return f"{why}; run as the user of the VM, or as root"
    if isinstance(error, (TimeoutError, BlockingIOError)):
        return f"{why}; other clients are waiting for this monitor already"
    return why


class Exchange:
    """A file in our memory that the VM's QEMU can write to.

    :ivar path: its name for QEMU's own layer.
    :ivar plain_path: its name for ``fopen``.
    """

    def __init__(self, monitor: Executes) -> None:
        """Hand it over.

        :raise QmpError: When QEMU does not take descriptors over this monitor.
        """
        self._monitor = monitor
        _sweep(monitor)
        # libvirt numbers its own sets from 0 on.
        self._set = 1_000_000 + secrets.randbelow(1_000_000_000)
        self._memory = os.memfd_create("migratable", os.MFD_CLOEXEC)
        try:
            # A set is searched by access mode, so it must be open for writing only.
            writer = os.open(f"/proc/self/fd/{self._memory}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                arguments = {"fdset-id": self._set, "opaque": mark(os.getpid())}
                answer = monitor.execute("add-fd", arguments, fd=writer)
            finally:
                os.close(writer)
        except BaseException:
            os.close(self._memory)
            raise
        self.path = f"/dev/fdset/{self._set}"
        self.plain_path = f"/proc/self/fd/{int(answer['fd'])}"

    def read(self) -> bytes:
        """All that is in the file now.

        :raise CaptureError: When that is more than any device state has.
        """
        size = os.fstat(self._memory).st_size
        if size > MOST_STATE:
            raise CaptureError(
                f"QEMU wrote {size} bytes, more than the {MOST_STATE} that are "
                "read of a device state"
            )
        with open(self._memory, "rb", closefd=False, buffering=0) as file:
            file.seek(0)
            data = bytearray()
            while len(data) < size and (part := file.read(size - len(data))):
                data += part
        return bytes(data)

    def close(self) -> None:
        """Take it back; QEMU keeps nothing (see :func:`keeps_descriptors`), or an empty file."""
        try:
            os.ftruncate(self._memory, 0)
            with contextlib.suppress(QmpError, QmpClosedError):
                self._monitor.execute("remove-fd", {"fdset-id": self._set})
        finally:
            os.close(self._memory)


def mark(pid: int) -> str:
    """What tells a living process from one that has its number later."""
    try:
        began = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        numbers = Path("/proc/self/ns/pid").stat().st_ino
    except (OSError, IndexError):
        return f"{_MARK} {pid} gone"
    return f"{_MARK} {pid} {began} {numbers}"


def _sweep(monitor: Executes) -> None:
    """Take back what a capture that was killed left.

    From 9.1 on QEMU keeps a descriptor until it is told otherwise, also when the monitor that gave
    it is gone (``monitor/fds.c`` ``monitor_fdsets_cleanup``).
    """
    here = mark(os.getpid()).split()[-1]
    with contextlib.suppress(QmpError):
        for one in monitor.execute("query-fdsets"):
            for opaque in {str(fd.get("opaque", "")) for fd in one["fds"]}:
                # Process ids of another namespace mean nothing here.
                words = opaque.split()
                if len(words) != 4 or words[0] != _MARK or words[3] != here:
                    continue
                if words[1].isdigit() and opaque != mark(int(words[1])):
                    monitor.execute("remove-fd", {"fdset-id": one["fdset-id"]})


class FolderExchange:
    """The same as a file in a private folder, which QEMU may not see.

    For a VM that does not run: before 9.1 QEMU gives descriptors back only while its VM runs
    (``monitor/misc.c`` ``monitor_fdset_cleanup``), so one handed over would stay.
    """

    def __init__(self) -> None:
        """Make the folder."""
        folder = private_path()
        folder.mkdir(mode=0o700)
        self._folder = folder
        self.path = self.plain_path = str(folder / "state")

    def read(self) -> bytes:
        """All that is in the file now."""
        try:
            with open_regular(self.path) as file:
                data = file.read(MOST_STATE + 1)
        except OSError as error:
            raise CaptureError(f"what QEMU wrote cannot be read: {error}") from None
        if len(data) > MOST_STATE:
            raise CaptureError(f"QEMU wrote more than {MOST_STATE} bytes of device state")
        return data

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self._folder, ignore_errors=True)


def keeps_descriptors(release: tuple[int, int], *, running: bool) -> bool:
    """Would QEMU keep a descriptor that was handed over and taken back?"""
    return release < (9, 1) and not running


def hmp(monitor: Monitor, command: str) -> str:
    """Run a command of the human monitor; its text."""
    return str(monitor.execute("human-monitor-command", {"command-line": command}))
