"""Load a stream into a paused QEMU that was started with ``-incoming defer``."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from migratable.errors import QemuError
from migratable.qemu.process import QemuProcess
from migratable.qemu.qmp import QmpClosedError, QmpError
from migratable.stream import Stream
from migratable.stream.writer import chunks

_NAME = "migratable-stream"
_BUFFER = 1 << 18
_ENDED_BY_ITSELF = frozenset(
    {signal.SIGABRT, signal.SIGSEGV, signal.SIGFPE, signal.SIGILL, signal.SIGTRAP}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How a load ended.

    :ivar completed: the destination says so itself (``query-migrate``).
    :ivar exit_status: of a destination that ended; negative: by that signal.
    :ivar seconds: from ``migrate-incoming`` to the end.
    """

    completed: bool
    exit_status: int | None = None
    seconds: float = 0.0

    @property
    def crashed(self) -> str | None:
        """Name of the signal by which the program ended itself (assertion, segmentation fault)."""
        number = -(self.exit_status or 0)
        return signal.Signals(number).name if number > 0 else None


def load(qemu: QemuProcess, stream: Stream, *, deadline: float) -> Load:
    """Feed *stream* to the destination and wait for its answer.

    :param deadline: ``time.monotonic()`` at which to give up.
    :raise QemuError: When there is no answer in time, or something outside ended the program.
    """
    start = time.monotonic()
    with _fed(stream) as descriptor:
        qemu.send_fd(_NAME, descriptor)
    try:
        _execute(qemu, "migrate-incoming", deadline, uri=f"fd:{_NAME}")
        _await_completion(qemu, deadline)
    except QmpClosedError:
        status = _exit_status(qemu, deadline)
        return Load(completed=False, exit_status=status, seconds=time.monotonic() - start)
    return Load(completed=True, seconds=time.monotonic() - start)


@contextlib.contextmanager
def _fed(stream: Stream) -> Iterator[int]:
    """One end of a socket pair into whose other end a thread writes the stream.

    A socket, as most real migrations have: what is printed about a bad header depends on it, and
    11.1 takes no plain file. The thread ends with the destination, which holds the only other end.
    """
    ours, theirs = socket.socketpair()

    def feed() -> None:
        with (
            contextlib.suppress(OSError),  # the destination went away; its status tells
            ours,
            ours.makefile("wb", buffering=_BUFFER) as file,
        ):
            for chunk in chunks(stream):
                file.write(chunk)

    threading.Thread(target=feed, daemon=True).start()
    try:
        yield theirs.fileno()
    finally:
        theirs.close()


def _execute(qemu: QemuProcess, command: str, deadline: float, **arguments: str) -> object:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise QemuError("the destination did not finish loading in time; it was ended")
    return qemu.monitor.execute(command, dict(arguments), timeout=remaining)


def _await_completion(qemu: QemuProcess, deadline: float) -> None:
    pause = 0.001
    while True:
        answer = _execute(qemu, "query-migrate", deadline)
        if isinstance(answer, dict) and answer.get("status") == "completed":
            return
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def _exit_status(qemu: QemuProcess, deadline: float) -> int:
    status = qemu.wait(max(0.1, min(10.0, deadline - time.monotonic())))
    if status is None:
        raise QemuError("the destination closed its monitor and still runs; it was ended")
    if status > 128 and (status - 128) in {int(one) for one in signal.Signals}:
        status = 128 - status  # a shell in between (a starter script) says it so
    if status < 0 and -status not in _ENDED_BY_ITSELF:
        name = signal.Signals(-status).name
        raise QemuError(
            f"the destination was ended from outside ({name}); "
            + (
                "is there memory and room for temporary files?"
                if name in {"SIGKILL", "SIGBUS"}
                else "start it again"
            )
        )
    return status


def ask(function: Callable[[], object]) -> object:
    """An answer that not every program has; None then.

    :raise QmpClosedError: When the program ends.
    """
    try:
        return function()
    except QmpError:
        return None
