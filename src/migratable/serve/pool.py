"""Workers of the service: started when needed, killed when they take too long."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from migratable.serve import worker
from migratable.serve.problem import Problem
from migratable.serve.settings import Limits

_ANSWER_LIMIT = 64 << 20


class _Worker:
    """One process, used by one thread at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None

    def ask(self, request: Mapping[str, Any], fd: int, seconds: float) -> dict[str, Any]:
        """Hand over a request.

        :raise Problem: 422 when it took too long or the process died of it.
        """
        try:
            connection = self._started()
            connection.settimeout(seconds)
            worker.send(connection, request, (fd,))
            answer, _ = worker.receive(connection, _ANSWER_LIMIT)
        except TimeoutError:
            self.stop()
            text = f"the check took more than {seconds:g} s"
            raise Problem(422, "too-costly", text) from None
        except (EOFError, OSError, ValueError):
            text = f"the check's process ended before it answered (status {self.stop()})"
            raise Problem(422, "too-costly", text) from None
        if answer["last"]:
            self.stop()
        if "problem" in answer:
            raise Problem(**answer["problem"])
        return answer

    def _started(self) -> socket.socket:
        if self._process is not None and self._process.poll() is not None:
            self.stop()
        if self._connection is None:
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, "-P", "-m", worker.__name__, str(theirs.fileno())]
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                )
            self._connection = ours
        return self._connection

    def kill(self) -> None:
        """End the process; a thread that waits for its answer is told by the closed connection."""
        process = self._process
        if process is not None:
            process.kill()

    def stop(self) -> int | None:
        """Kill the process; its status."""
        status = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = self._process.wait(0.05)
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        return status


class Pool:
    """As many workers as checks may run at once."""

    def __init__(self, limits: Limits) -> None:
        """Prepare; no process is started before the first check."""
        self._limits = limits
        self._workers = [_Worker() for _ in range(limits.workers)]
        self._free: asyncio.Queue[_Worker] = asyncio.Queue()
        for one in self._workers:
            self._free.put_nowait(one)
        self._threads = ThreadPoolExecutor(limits.workers, "check")

    async def check(self, fd: int, *, kind: str, name: str, to: tuple[str, ...]) -> dict[str, Any]:
        """Check the upload behind *fd*; verdicts by destination.

        :raise Problem: when the upload or a destination is at fault.
        """
        request = {
            "kind": kind,
            "name": name,
            "to": to,
            "limit": self._limits.stream,
            "memory": self._limits.memory,
            "time": self._limits.check_time,
        }
        one = await self._free.get()
        loop = asyncio.get_running_loop()
        ours = os.dup(fd)  # the request may go away, and its file with it, before the check is done
        asked = loop.run_in_executor(self._threads, one.ask, request, ours, self._limits.check_time)

        def done(asked: asyncio.Future[dict[str, Any]]) -> None:
            os.close(ours)
            self._free.put_nowait(one)
            if not asked.cancelled():
                asked.exception()  # nobody may be left to ask for it

        asked.add_done_callback(done)
        answer = await asyncio.shield(asked)
        verdicts = answer["verdicts"]
        assert isinstance(verdicts, dict)
        return verdicts

    def close(self) -> None:
        """End all processes, also those at work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for one in self._workers:
            one.kill()
        self._threads.shutdown(wait=True)
        for one in self._workers:
            one.stop()
