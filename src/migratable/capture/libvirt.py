"""The monitor of a running VM that libvirt manages, through ``virsh qemu-monitor-command``.

libvirt holds the VM's monitor, so everything goes through it, descriptors too (``--pass-fds``,
libvirt 8.2 and later). It notes that its domain got foreign commands (``custom-monitor`` in the
domain's log); nothing else of it changes. Which libvirt is asked is said as always:
``LIBVIRT_DEFAULT_URI``, or the user's own default.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from migratable.errors import CaptureError, QemuError
from migratable.qemu.qmp import QmpError

_EVENT = re.compile(r"event (STOP|RESUME) at (\d+)\.(\d{6}) for domain")
# If we are killed, it ends by itself.
_LISTENER = ("--loop", "--timeout", "180", "--regex", "--event", "^(STOP|RESUME)$")
_LISTEN_SECONDS = 0.2
_EVENT_SECONDS = 1.0


class LibvirtMonitor:
    """A domain's monitor; a :class:`~migratable.capture.monitor.Monitor`.

    :raise CaptureError: When virsh is not there, or the domain is not, or does not run here.
    """

    def __init__(self, domain: str) -> None:
        """Find the domain and start to listen to its events."""
        self.name = f"libvirt:{domain}"
        self._domain = domain
        virsh = shutil.which("virsh")
        if virsh is None:
            raise CaptureError(
                f"{self.name}: virsh is not on this machine; it comes with libvirt's clients "
                "(Debian: libvirt-clients, Fedora: libvirt-client)"
            )
        self._virsh = virsh
        state = self._run("domstate", "--domain", domain)
        if state.returncode != 0:
            raise CaptureError(f"{self.name}: {_said(state)}; see virsh list --all")
        if state.stdout.strip() in {"shut off", "crashed"}:
            raise CaptureError(f"{self.name}: the domain is {state.stdout.strip()}; start it first")
        job = self._run("domjobinfo", "--domain", domain)
        kind = re.search(r"Job type:\s+(\S+)", job.stdout)
        if kind is not None and kind[1] not in {"None", "Completed", "Failed", "Cancelled"}:
            raise CaptureError(
                f"{self.name}: libvirt has a job in progress ({kind[1]}); wait for its end "
                "(virsh domjobinfo) or end it (virsh domjobabort)"
            )
        self._lines: list[str] = []
        self._listener = subprocess.Popen(
            [*self._words("qemu-monitor-event"), *_LISTENER, "--domain", domain],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()
        self._ready = time.monotonic() + _LISTEN_SECONDS

    def execute(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        *,
        fd: int | None = None,
        timeout: float = 30.0,
    ) -> Any:
        """Run a QMP command; raises as :class:`~migratable.capture.monitor.Monitor` says."""
        request = {"execute": command, **({"arguments": arguments} if arguments else {})}
        words = ["qemu-monitor-command", "--domain", self._domain]
        if fd is not None:
            words += ["--pass-fds", str(fd)]
        done = self._run(*words, "--cmd", json.dumps(request), fd=fd, timeout=timeout)
        if done.returncode != 0:
            raise QemuError(f"{self.name}: {command}: {_said(done)}")
        try:
            answer = json.loads(done.stdout)
        except ValueError as error:
            raise QemuError(f"{self.name}: {command}: virsh answers no JSON ({error})") from None
        if "error" in answer:
            problem = answer["error"]
            raise QmpError(command, str(problem.get("class")), str(problem.get("desc")))
        return answer.get("return")

    def events(self) -> list[dict[str, Any]]:
        """STOP and RESUME since the last call.

        The first call waits until the listener is likely to listen; a later one, for a moment,
        until events that were sent have come.
        """
        if (left := self._ready - time.monotonic()) > 0:
            time.sleep(left)
            self._lines.clear()
            return []
        deadline = time.monotonic() + _EVENT_SECONDS
        while len(self._lines) < 2 and time.monotonic() < deadline and self._reader.is_alive():
            time.sleep(0.01)
        lines, self._lines = self._lines, []
        return [
            {
                "event": match[1],
                "timestamp": {"seconds": int(match[2]), "microseconds": int(match[3])},
            }
            for line in lines
            if (match := _EVENT.search(line))
        ]

    def close(self) -> None:
        """Stop listening; the domain is left alone."""
        self._listener.kill()
        self._listener.wait()
        self._reader.join(1.0)
        if self._listener.stdout is not None:
            self._listener.stdout.close()

    def process(self) -> int | None:
        """The process with the domain's UUID on its command line.

        None when it runs elsewhere, or when several have it: any user may call a process so.
        """
        done = self._run("domuuid", "--domain", self._domain)
        wanted = done.stdout.strip().lower().encode()
        if done.returncode != 0 or not wanted:
            return None
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().lower().split(b"\0")
            except OSError:
                continue
            if (b"-uuid", wanted) in pairwise(words):
                found.append(int(path.parent.name))
        return found[0] if len(found) == 1 else None

    def domain_xml(self) -> str:
        """The domain as libvirt describes it; empty when it does not."""
        done = self._run("dumpxml", "--domain", self._domain)
        return done.stdout if done.returncode == 0 else ""

    def _listen(self) -> None:
        assert self._listener.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in self._listener.stdout:
                if _EVENT.search(line):
                    self._lines.append(line)

    def _words(self, command: str) -> list[str]:
        return [self._virsh, "--quiet", command]

    def _run(
        self, command: str, *words: str, fd: int | None = None, timeout: float = 30.0
    ) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [*self._words(command), *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                pass_fds=() if fd is None else (fd,),
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise QemuError(f"{self.name}: virsh {command}: no answer in {timeout:g} s") from None
        except OSError as error:
            raise CaptureError(f"{self.name}: virsh cannot be started: {error}") from None


def _said(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.strip()]
    return "; ".join(lines) or f"virsh ended with status {done.returncode} and no message"
