"""A QEMU as its user would start it (nothing made inert), that dies with us.

The profile's :class:`~migratable.qemu.process.QemuProcess` runs altered command lines; here the
real one is the judge. Its backends are null devices, so it needs nothing of the host.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import resources
from typing import IO, Self

from migratable.errors import QemuError
from migratable.qemu.process import Running
from migratable.qemu.qmp import Qmp, QmpClosedError

MONITOR = "campaign-qmp"
_PREFIX = re.compile(r"^[^\s:]*qemu-system[^\s:]*: ")
_STDERR_LIMIT = 64 << 10
# hw/i386/pc.c: pc_cmos_init_late ends its warning without a newline, up to 11.1.
_GLUED = re.compile(r"(?<=your intent)(?=\S*qemu-system)")


class Qemu(Running):
    """A running QEMU as a context manager; ``running`` is False when it did not start.

    :ivar status: exit status, None while it runs; negative for a signal.
    """

    def __init__(
        self, command: Sequence[str], argv: Sequence[str], *, timeout: float = 60.0
    ) -> None:
        """Prepare.

        :param timeout: seconds for the start and for each command.
        """
        self._words = [*command, *argv]
        self._timeout = timeout
        self._errors: IO[bytes] | None = None
        self.running = False

    def __enter__(self) -> Self:
        """Start it.

        :raise QemuError: when it hangs.
        """
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()
        launcher = str(resources.files("migratable.qemu") / "launcher.py")
        words = [sys.executable, "-I", "-S", launcher, str(os.getpid()), "", *self._words]
        words += ["-chardev", f"socket,id={MONITOR},fd={theirs.fileno()}"]
        words += ["-mon", f"chardev={MONITOR},mode=control"]
        try:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                env={**os.environ, "LC_ALL": "C", "QEMU_AUDIO_DRV": "none"},
            )
        finally:
            theirs.close()
        self._qmp = Qmp(ours)
        try:
            self._qmp.negotiate(self._timeout)
            self.running = True
        except QmpClosedError:
            self.wait(self._timeout)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        self.stop()

    def stop(self) -> None:
        """Kill it with what it started."""
        self.kill()
        if self._process is not None:
            self._process.wait()
        if self._qmp is not None:
            self._qmp.close()
        if self._errors is not None:
            self._errors.close()

    @property
    def pid(self) -> int | None:
        """Its process id, None before its start."""
        return None if self._process is None else self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status."""
        return None if self._process is None else self._process.poll()

    def settled(self, timeout: float) -> str:
        """Wait until the migration (either way) has ended: completed, failed, ended or hangs."""
        deadline = time.monotonic() + timeout
        pause = 0.003
        try:
            while time.monotonic() < deadline:
                status = str(self.qmp("query-migrate").get("status", ""))
                if status in {"completed", "failed"}:
                    return status
                time.sleep(pause)
                pause = min(pause * 1.3, 0.05)
        except QmpClosedError:
            self.wait(10.0)
            return "ended"
        except QemuError:
            return "hangs"
        return "hangs"

    def lines(self) -> list[str]:
        """What it printed to stderr until now, without the program's name."""
        assert self._errors is not None
        descriptor = self._errors.fileno()
        text = os.pread(descriptor, _STDERR_LIMIT, 0).decode("utf-8", "replace")
        text = _GLUED.sub("\n", text)
        lines = (_PREFIX.sub("", line) for line in text.splitlines() if line.strip())
        return [line for line in lines if MONITOR not in line]  # 11.1 warns of our -mon
