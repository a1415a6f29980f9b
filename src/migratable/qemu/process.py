"""Start and stop an inert QEMU, and leave nothing behind.

::

    with private_folder() as folder:
        quiet = inert(line, release=None, private_dir=folder)
        with QemuProcess(["qemu-system-x86_64"], quiet, extra=["-incoming", "defer"]) as qemu:
            qemu.qmp("query-status")
            qemu.pid, qemu.stderr_lines(), qemu.wait(5)

QEMU dies with the thread that started it, also when that is killed (``PR_SET_PDEATHSIG``). Its
monitor is one end of a socket pair, so it listens nowhere; stdin is empty, stdout goes nowhere,
stderr into a bounded buffer. Taps live in a user and network namespace of its own, for which no
privilege is needed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from migratable.commandline.inert.inert import InertCommandLine
from migratable.errors import DestinationStartError, QemuError, StartFailure
from migratable.qemu.confinement import MARK, Confinement, needs_more, needs_programs
from migratable.qemu.launch import launch
from migratable.qemu.program import SANDBOX, has_sandbox
from migratable.qemu.qmp import Qmp, QmpClosedError
from migratable.qemu.start_errors import start_message

_STDERR_LIMIT = 256 << 10
_PREFIX = re.compile(r"^[^\s:]*(?:qemu|kvm)[^\s:]*: ")
_NO_NAMESPACE = 125
_FROM_OUTSIDE = frozenset({signal.SIGKILL, signal.SIGBUS, signal.SIGTERM})
_MONITOR = "migratable-qmp"
_OF_TCG = "TCG doesn't support requested feature"


def private_path() -> Path:
    """Give a path for a private folder; nothing is created until something must be in it."""
    folder = Path(tempfile.gettempdir())
    if len(str(folder)) > 60:  # a socket's path has 107 bytes at most
        folder = Path("/tmp")  # noqa: S108 -- the name in it is random, the folder mode 0700
    return folder / f"migratable-{secrets.token_hex(8)}"


@contextlib.contextmanager
def private_folder() -> Iterator[Path]:
    """A path for private files, removed with all that is in it at the end."""
    path = private_path()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Running:
    """A QEMU that was started by us, with its monitor."""

    _process: subprocess.Popen[bytes] | None = None
    _qmp: Qmp | None = None
    _timeout: float

    def kill(self) -> None:
        """End it from another thread; the one that uses it sees its monitor close."""
        _kill(self._process)

    def wait(self, timeout: float) -> int | None:
        """Wait for QEMU's end; its exit status, None when it still runs after *timeout* seconds."""
        assert self._process is not None
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            return None

    def qmp(self, command: str, /, *, timeout: float | None = None, **arguments: Any) -> Any:
        """Run a QMP command; underscores in argument names are hyphens.

        :raise QmpError: When QEMU answers with an error.
        :raise QemuError: When it hangs or ends.
        """
        assert self._qmp is not None
        members = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self._qmp.execute(command, members, timeout=timeout or self._timeout)

    def hmp(self, command: str) -> str:
        """Run a command of the human monitor; its text."""
        return str(self.qmp("human-monitor-command", command_line=command))


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    """Kill it with everything it started."""
    if process is not None and process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


class QemuProcess(Running):
    """A running inert QEMU as a context manager.

    :ivar pid: process id of QEMU itself.
    :ivar greeting: the QMP greeting.
    """

    def __init__(
        self,
        command: Sequence[str],
        inert: InertCommandLine,
        *,
        extra: Sequence[str] = (),
        timeout: float = 60.0,
        confined: bool = True,
    ) -> None:
        """Prepare; nothing is started before the ``with``.

        :param command: words that start the program (a path, or a starter with its arguments).
        :param extra: more arguments, for example ``-incoming defer``.
        :param timeout: seconds for the start, and for each QMP command.
        :param confined: the kernel lets it see, write and reach next to nothing.
        """
        self._confined = confined
        self._whole = self._runs_others = False
        self._sandbox = confined and has_sandbox(command)
        self._command = list(command)
        self._inert = inert
        self._extra = list(extra)
        self._timeout = timeout
        self._helpers: list[subprocess.Popen[bytes]] = []
        self._inherited: dict[str, int] = {}
        self._stderr = bytearray()
        self._reader: threading.Thread | None = None
        self._pid = 0

    # Life

    def __enter__(self) -> Self:
        """Start it and wait until the machine stands.

        :raise DestinationStartError: When the program ends before; with the lines it printed.
        :raise QemuError: When it hangs.
        """
        try:
            try:
                self._start()
            except DestinationStartError as error:
                if not self._confined or not needs_more(error.stderr):
                    raise
                self._start_again(runs_others=needs_programs(error.stderr))
        except BaseException:
            self.stop()
            raise
        return self

    def _start_again(self, *, runs_others: bool) -> None:
        """It may have missed a file that is not known to be needed: let it see all, read-only."""
        self.stop()
        self._helpers.clear()
        self._stderr.clear()
        self._whole, self._runs_others = True, runs_others
        self._start()

    def __exit__(self, *_: object) -> None:
        """End it and remove what it used."""
        self.stop()

    def _start(self) -> None:
        self._prepare()
        ours, theirs = socket.socketpair()
        self._qmp = Qmp(ours)
        try:
            monitor = ["-chardev", f"socket,id={_MONITOR},fd={theirs.fileno()}"]
            monitor += ["-mon", f"chardev={_MONITOR},mode=control"]
            sandbox = SANDBOX if self._sandbox else ()
            argv = [*self._command, *sandbox, *self._words(), *monitor, *self._extra]
            self._process = self._spawn(argv, pass_fds=[theirs.fileno(), *self._inherited.values()])
        finally:
            theirs.close()
            self._close_inherited()
        self._reader = threading.Thread(target=self._collect_stderr, daemon=True)
        self._reader.start()
        try:
            self._qmp.negotiate(self._timeout)
        except QmpClosedError:
            raise self._start_error() from None
        self._pid = self._real_pid()

    def _words(self) -> Iterator[str]:
        """Arguments in which private files and sockets are descriptors, which QEMU inherits."""
        longest_first = sorted(self._inherited.items(), key=lambda item: -len(item[0]))
        for word in self._inert.plain_argv:
            for name, descriptor in longest_first:
                socket_ = name.startswith("path=")
                ours = f"fd={descriptor}" if socket_ else f"/proc/self/fd/{descriptor}"
                word = word.replace(name.replace(",", ",,"), ours)  # noqa: PLW2901
                word = word.replace(name, ours)  # noqa: PLW2901 -- the same word
            yield word

    def _close_inherited(self) -> None:
        while self._inherited:
            os.close(self._inherited.popitem()[1])

    def _spawn(
        self, argv: list[str], *, pass_fds: Sequence[int], files: Sequence[str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start QEMU, or with *files* a helper of it."""
        helps = files is not None
        try:
            return launch(
                argv,
                pass_fds=pass_fds,
                network_namespace=self._inert.needs_netns and not helps,
                kvm=self._inert.accelerator == "kvm" and not helps,
                files=self._inert.reads if files is None else files,
                whole=self._whole,
                runs_others=self._runs_others,
                confined=self._confined,
            )
        except OSError as error:
            raise QemuError(f"cannot start {argv[0]}: {error}") from None

    def _prepare(self) -> None:
        """Make private files and sockets without names: whatever kills us, none is left behind."""
        for path, size in self._inert.files.items():
            descriptor = os.memfd_create(path.name, os.MFD_CLOEXEC)
            self._inherited[str(path)] = descriptor
            os.ftruncate(descriptor, size)
        for *helper, address in self._inert.helpers:
            ours, theirs = socket.socketpair()
            with theirs:
                command = [*helper, f"fd:{theirs.fileno()}"]
                script = [word for word in helper[1:] if word.startswith("/")]
                self._helpers.append(self._spawn(command, pass_fds=[theirs.fileno()], files=script))
            self._inherited[f"path={address}"] = ours.detach()

    def stop(self) -> None:
        """Kill it with everything it started; may be called twice."""
        for process in (self._process, *self._helpers):
            _kill(process)
            if process is not None:
                process.wait()
        if self._reader is not None:
            self._reader.join(1.0)
        for process in (self._process, *self._helpers):
            if process is not None and process.stderr is not None:
                process.stderr.close()
        if self._qmp is not None:
            self._qmp.close()
        self._close_inherited()

    def wait(self, timeout: float) -> int | None:
        """Wait for QEMU's end and its last words."""
        status = super().wait(timeout)
        if status is not None and self._reader is not None:
            self._reader.join(1.0)
        return status

    # Talk

    @property
    def pid(self) -> int:
        """Process id of QEMU itself, also when a starter script is its parent."""
        return self._pid

    def thread(self, number: int) -> int:
        """The id here of a thread that QEMU names by its id in its own namespace."""
        for task in Path(f"/proc/{self._pid}/task").iterdir():
            with contextlib.suppress(OSError, ValueError):
                text = (task / "status").read_text(encoding="utf-8", errors="replace")
                own = re.search(r"^NSpid:.*?(\d+)$", text, re.M)
                if own is not None and int(own[1]) == number:
                    return int(task.name)
        return number

    @property
    def greeting(self) -> dict[str, Any]:
        """The ``QMP`` member of the greeting, with the version."""
        assert self._qmp is not None
        return self._qmp.greeting

    @property
    def monitor(self) -> Qmp:
        """The QMP connection, for events and file descriptors."""
        assert self._qmp is not None
        return self._qmp

    def qmp(self, command: str, /, *, timeout: float | None = None, **arguments: Any) -> Any:
        """The same; the message of an end has its last lines."""
        try:
            return super().qmp(command, timeout=timeout, **arguments)
        except QmpClosedError as error:
            self.wait(2.0)
            lines = "; ".join(self.stderr_lines()[-3:])
            raise QemuError(f"{error}; it printed: {lines or 'nothing'}") from None

    def accelerator(self) -> str:
        """Its accelerator: ``kvm``, ``tcg`` (``kvm:tcg`` may fall back) or ``qtest``."""
        if self.qmp("query-kvm").get("enabled"):
            return "kvm"
        return "qtest" if self._inert.accelerator == "qtest" else "tcg"

    def send_fd(self, name: str, fd: int) -> None:
        """Hand a file descriptor over as *name* (``getfd``), for ``fd:NAME`` addresses."""
        self.monitor.execute("getfd", {"fdname": name}, fd=fd, timeout=self._timeout)

    def stderr_lines(self) -> tuple[str, ...]:
        """What it printed to stderr until now, without the program's name; the first 256 KiB."""
        text = bytes(self._stderr).decode("utf-8", "replace")
        lines = (_PREFIX.sub("", line) for line in text.splitlines() if line.strip())
        unsaid = [_MONITOR, MARK]  # 11.1 warns of our -mon
        if self._inert.stand_in:
            unsaid.append(_OF_TCG)
        return tuple(line for line in lines if not any(text in line for text in unsaid))

    @property
    def confinement(self) -> Confinement:
        """How it is confined, once it has started."""
        lines = bytes(self._stderr).decode("utf-8", "replace").splitlines()
        return Confinement.read(lines, sandbox=self._sandbox) or Confinement()

    # Inside

    def _collect_stderr(self) -> None:
        assert self._process is not None
        assert self._process.stderr is not None
        descriptor = self._process.stderr.fileno()
        while True:
            try:
                data = os.read(descriptor, 65536)
            except OSError:
                return
            if not data:
                return
            room = _STDERR_LIMIT - len(self._stderr)
            self._stderr += data[: max(0, room)]

    def _start_error(self) -> DestinationStartError | QemuError:
        status = self.wait(10.0)
        lines = self.stderr_lines()
        launcher = [line for line in lines if line.startswith("migratable-launcher: ")]
        if launcher:
            text = launcher[0].removeprefix("migratable-launcher: ")
            if status == _NO_NAMESPACE:
                return QemuError(text)
            message = f"cannot run the program {text}"
            return DestinationStartError(message, kind=StartFailure.NOT_RUN)
        if status is None:
            return QemuError("QEMU closed its monitor and still runs")
        how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        kind = StartFailure.ENDED_FROM_OUTSIDE if -status in _FROM_OUTSIDE else StartFailure.REFUSED
        return DestinationStartError(start_message(how, lines), stderr=lines, kind=kind, status=how)

    def _real_pid(self) -> int:
        """Our child, or the process at the end of its chain of only children (starter scripts)."""
        assert self._process is not None
        pid = self._process.pid
        for _ in range(8):
            try:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                name = Path(f"/proc/{pid}/comm").read_text().strip()
            except OSError:
                return pid
            if len(children) != 1 or name.startswith(("qemu", "ld")):
                return pid
            pid = int(children[0])
        return pid
