"""A real service in a process of its own, and clients of every kind."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Service:
    process: subprocess.Popen[bytes]
    port: int
    said: Callable[[], str]
    host: str = "127.0.0.1"
    scheme: str = "http"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """One request on a connection of its own: status, JSON, headers."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.headers

    def check(
        self, body: bytes, to: str = "host", kind: str = "application/octet-stream", more: str = ""
    ) -> tuple[int, Any]:
        status, answer, _ = self.request(
            "POST", f"/check?to={to}{more}", body, {"Content-Type": kind}
        )
        return status, answer

    def text(self, path: str) -> tuple[str, str]:
        """A page that is no JSON, and its content type."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.read().decode(), answer.headers["content-type"]

    def environment(self, name: str) -> str | None:
        words = Path(f"/proc/{self.process.pid}/environ").read_bytes().split(b"\0")
        found = dict(word.decode().split("=", 1) for word in words if b"=" in word)
        return found.get(name)

    def raw(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=30)

    def memory(self) -> int:
        """Largest resident size of the service or a worker so far, bytes."""
        pids = [self.process.pid, *self.children()]
        return max(_peak(pid) for pid in pids)

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = [int(word) for word in path.read_text().split()]
        # A process of a thread is that thread's child.
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(word) for word in (task / "children").read_text().split()]
        return sorted(set(found))

    def files(self, folder: Path) -> int:
        """Open files of the service in the folder of uploads, where they have no name."""
        count = 0
        for path in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                name = str(path.readlink())
                count += name.startswith(str(folder))
        return count

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


def _peak(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) << 10 if found else 0


@contextlib.contextmanager
def service(data: Path, *options: str, token: str | None = None) -> Iterator[Service]:
    """Start the program, wait until it listens; it is dead when the block ends."""
    environment = {**os.environ, "MIGRATABLE_DATA": str(data)}
    if token is not None:
        environment["MIGRATABLE_TOKEN"] = token
    command = [sys.executable, "-m", "migratable", "serve", "--port", "0", *options]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=environment,
        )

        def lines() -> str:
            said.seek(0)
            return said.read()

        try:
            until(lambda: "\n" in lines() or process.poll() is not None, 30)
            found = re.search(r"^serving (\w+)://(\S+):(\d+)$", lines(), re.M)
            assert found, lines()
            host = found[2].strip("[]")
            yield Service(
                process=process, port=int(found[3]), said=lines, host=host, scheme=found[1]
            )
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def until(condition: Any, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
