"""The program that runs on a host as long as the connection lasts.

One process reads requests from stdin and writes answers to stdout, a line of JSON each; every
request is done by a forked child, so that several run at once and none can hurt another. When
stdin ends, or nothing came for a minute (the other side pings), everything is ended and removed:
children first by SIGTERM, which lets them tidy up, then by SIGKILL. QEMU dies with its starter.

Requests: ``{"id": 1, "op": "guests", "arguments": {}}``; ``{"op": "ping"}``;
``{"op": "cancel", "id": 1}``. Answers: ``{"id": 1, "step": …}`` any number of times, then
``{"id": 1, "result": …}`` or ``{"id": 1, "error": TEXT, "kind": CLASS}``.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from migratable import compat

compat.install()

SILENCE_SECONDS = 60.0
"""After which the other side is taken for dead."""
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_GRACE_SECONDS = 5.0
_MOST_CHILDREN = 16
_LONGEST_REQUEST = 512 << 20


class _Child:
    """One request that is being done."""

    def __init__(self, request: dict[str, Any], pid: int, pipe: int) -> None:
        self.number = request.get("id")
        self.pid = pid
        self.pipe = pipe
        self.rest = b""
        self.answered = False


def serve(folder: str, nonce: str, say: Callable[..., None]) -> None:
    """Answer until the other side ends the connection.

    :param folder: private; everything temporary is made in it, and the caller removes it.
    """
    work = Path(folder) / "t"
    work.mkdir()
    tempfile.tempdir = str(work)
    os.environ["TMPDIR"] = str(work)
    for name in ("MIGRATABLE_CACHE", "MIGRATABLE_DATA", "XDG_STATE_HOME"):
        os.environ[name] = str(Path(folder) / "cache")
    say(nonce, "ready", json.dumps({"python": sys.version.split()[0], "user": os.geteuid()}))
    _Agent().run()


class _Agent:
    def __init__(self) -> None:
        self._children: dict[int, _Child] = {}
        self._waiting: deque[dict[str, Any]] = deque()
        self._selector = selectors.DefaultSelector()
        self._input = bytearray()
        self._heard = time.monotonic()

    def run(self) -> None:
        for number in _SIGNALS:
            signal.signal(number, _leave)
        self._selector.register(0, selectors.EVENT_READ)
        _warm_up()
        try:
            while time.monotonic() - self._heard < SILENCE_SECONDS:
                for key, _ in self._selector.select(1.0):
                    if key.fd == 0:
                        if not self._read():
                            return
                    else:
                        self._forward(self._children[key.fd])
        finally:
            self._end()

    def _read(self) -> bool:
        data = os.read(0, 1 << 20)
        if not data:
            return False
        self._heard = time.monotonic()
        self._input += data
        if len(self._input) > _LONGEST_REQUEST:
            return False
        if b"\n" not in data:
            return True
        *lines, rest = bytes(self._input).split(b"\n")
        self._input = bytearray(rest)
        for line in lines:
            if line.strip():
                self._request(json.loads(line))
        return True

    def _request(self, request: dict[str, Any]) -> None:
        kind = request.get("op")
        if kind == "ping":
            return
        if kind == "cancel":
            for child in self._children.values():
                if child.number == request.get("id"):
                    _signal(child.pid, signal.SIGTERM)
            return
        self._waiting.append(request)
        self._start()

    def _start(self) -> None:
        while self._waiting and len(self._children) < _MOST_CHILDREN:
            request = self._waiting.popleft()
            reading, writing = os.pipe()
            pid = os.fork()
            if pid == 0:
                _become_child(request, writing)
            os.close(writing)
            child = _Child(request, pid, reading)
            self._children[reading] = child
            self._selector.register(reading, selectors.EVENT_READ)

    def _forward(self, child: _Child) -> None:
        data = os.read(child.pipe, 1 << 20)
        if data:
            *lines, child.rest = (child.rest + data).split(b"\n")
            for line in lines:
                answer = {"id": child.number, **json.loads(line)}
                child.answered = child.answered or "step" not in answer
                _write(answer)
            return
        self._selector.unregister(child.pipe)
        os.close(child.pipe)
        del self._children[child.pipe]
        status = os.waitpid(child.pid, 0)[1]
        if not child.answered:
            number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            how = f"signal {number}" if number else f"status {os.WEXITSTATUS(status)}"
            text = f"the program on the host ended ({how}); does the host have free memory?"
            _write({"id": child.number, "error": text, "kind": "HostError"})
        self._start()

    def _end(self) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)  # this is the end already
        children = list(self._children.values())
        for child in children:
            _signal(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_SECONDS
        while children and time.monotonic() < deadline:
            children = [child for child in children if not _gone(child.pid)]
            time.sleep(0.02)
        for child in children:
            _signal(child.pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.waitpid(child.pid, 0)


def _warm_up() -> None:
    """Import once what every child would: compiling takes a second, a fork none."""
    from migratable.capture import running  # noqa: F401, PLC0415
    from migratable.hosts import operations  # noqa: F401, PLC0415
    from migratable.profile import memory  # noqa: F401, PLC0415


def _leave(number: int, frame: object) -> None:
    sys.exit(0)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _gone(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _write(answer: dict[str, Any]) -> None:
    data = json.dumps(answer, separators=(",", ":")).encode() + b"\n"
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except OSError:
            sys.exit(0)  # nobody listens any more


def _become_child(request: dict[str, Any], pipe: int) -> None:
    """Do one request and end; never returns."""
    status = 1
    try:
        _alone(pipe)
        with os.fdopen(pipe, "wb", buffering=0) as file:

            def say(answer: dict[str, Any]) -> None:
                data = memoryview(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
                while data:
                    data = data[file.write(data) or 0 :]

            say(_done(request, lambda step: say({"step": step})))
        status = 0
    except SystemExit:
        status = 0
    except BaseException:  # noqa: BLE001 -- the parent's stack is below this frame
        traceback.print_exc()
    finally:
        os._exit(status)


def _alone(pipe: int) -> None:
    """Keep none of the parent's descriptors: QEMU must not, and the connection must end."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.closerange(3, pipe)
    os.closerange(pipe + 1, 1024)
    os.set_inheritable(pipe, False)


def _done(request: dict[str, Any], tell: Callable[[str], None]) -> dict[str, Any]:
    from migratable.errors import MigratableError  # noqa: PLC0415 -- after compat.install
    from migratable.hosts import operations  # noqa: PLC0415

    try:
        operation = operations.OPERATIONS[str(request.get("op"))]
        return {"result": operation(tell, **request.get("arguments", {}))}
    except MigratableError as error:
        return {"error": str(error), "kind": type(error).__name__}
    except MemoryError:
        return {"error": "the host has no memory left for it", "kind": "HostError"}
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return {"error": f"{where}{error.strerror or error}", "kind": "HostError"}
    except Exception as error:  # noqa: BLE001 -- the other side must learn of it
        text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        return {"error": f"a bug of migratable on the host:\n{text}", "kind": "Bug"}


def _say(nonce: str, what: str, text: str = "") -> None:
    os.write(1, f"migratable-host {nonce} {what} {text}\n".encode())


def main(nonce: str) -> None:
    """Serve this host itself: the package is here already."""
    folder = tempfile.mkdtemp(prefix="migratable-")
    try:
        serve(folder, nonce, _say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
