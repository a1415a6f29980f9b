"""A small synchronous QMP client on a connected socket.

``qemu.qmp`` is built on asyncio, whose import costs more than starting QEMU does, and its legacy
client cannot take a socket that is connected already; this is the part of the protocol that is
needed here (``docs/interop/qmp-spec``): greeting, commands, events, one file descriptor a command.
"""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from typing import Any

from migratable.errors import QemuError

_REPLY_LIMIT = 64 << 20
_EVENTS, _LONGEST_EVENT = 2000, 16 << 10


class QmpError(QemuError):
    """QEMU answered a command with an error.

    :ivar kind: QMP's error class, for example ``CommandNotFound``.
    """

    def __init__(self, command: str, kind: str, description: str) -> None:
        """Keep the parts."""
        super().__init__(f"QMP {command}: {description}")
        self.command = command
        self.kind = kind
        self.description = description


class QmpClosedError(QemuError):
    """The connection ended, usually because QEMU did."""


class Qmp:
    """A QMP connection; not for several threads.

    :ivar greeting: the ``QMP`` member of the greeting.
    :ivar events: events in the order in which they came; the last 2,000, none of more than 16 KiB.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected socket."""
        self._socket = sock
        self._buffer = bytearray()
        self.greeting: dict[str, Any] = {}
        self.events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)

    def negotiate(self, timeout: float) -> None:
        """Read the greeting and leave the negotiation mode.

        :raise QemuError: When QEMU says nothing in *timeout* seconds, or ends.
        """
        message = self._receive(time.monotonic() + timeout)
        greeting = message.get("QMP")
        if not isinstance(greeting, dict):
            raise QemuError(f"no QMP greeting but {str(message)[:200]}")
        self.greeting = greeting
        self.execute("qmp_capabilities", timeout=timeout)

    def execute(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        *,
        timeout: float = 30.0,
        fd: int | None = None,
    ) -> Any:
        """Run *command*, give back its ``return`` value.

        :param fd: file descriptor to send along (``getfd``, ``add-fd``).
        :raise QmpError: When QEMU answers with an error.
        :raise QmpClosedError: When the connection ends.
        :raise QemuError: When there is no answer in *timeout* seconds.
        """
        request: dict[str, Any] = {"execute": command}
        if arguments:
            request["arguments"] = arguments
        data = json.dumps(request).encode()
        try:
            self._socket.settimeout(timeout)
            if fd is None:
                self._socket.sendall(data)
            else:
                socket.send_fds(self._socket, [data], [fd])
        except TimeoutError:
            raise QemuError(f"QMP {command}: not accepted in {timeout:g} s") from None
        except OSError as error:
            raise QmpClosedError(f"QMP {command}: the connection ended ({error})") from None
        deadline = time.monotonic() + timeout
        while True:
            message = self._receive(deadline, command)
            if "return" in message:
                return message["return"]
            if "error" in message:
                problem = message["error"]
                if not isinstance(problem, dict):
                    raise QemuError(f"QMP {command}: a malformed error: {str(problem)[:200]}")
                raise QmpError(command, str(problem.get("class")), str(problem.get("desc")))

    def wait_event(self, *names: str, timeout: float) -> dict[str, Any]:
        """Wait for the next event of one of *names*, also among those that came already."""
        deadline = time.monotonic() + timeout
        while True:
            for event in list(self.events):
                if event.get("event") in names:
                    self.events.remove(event)
                    return event
            self._receive(deadline, f"event {' or '.join(names)}")

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _receive(self, deadline: float, what: str = "greeting") -> dict[str, Any]:
        searched = 0
        while True:
            # Also between two received messages: events may come faster than we read them.
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise QemuError(f"QMP {what}: no answer in time; the program hangs")
            end = self._buffer.find(b"\n", searched)
            searched = len(self._buffer)
            if end >= 0:
                searched = 0
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                if not line.strip():
                    continue
                return self._message(line)
            if len(self._buffer) > _REPLY_LIMIT:
                raise QemuError(f"QMP {what}: an answer of more than {_REPLY_LIMIT} bytes")
            self._socket.settimeout(remaining)
            try:
                data = self._socket.recv(1 << 18)
            except TimeoutError:
                continue
            except OSError as error:
                raise QmpClosedError(f"QMP {what}: the connection ended ({error})") from None
            if not data:
                raise QmpClosedError(f"QMP {what}: the connection ended")
            self._buffer += data

    def _message(self, line: bytes) -> dict[str, Any]:
        try:
            message = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise QemuError(f"QMP: not JSON ({error}): {line[:200]!r}") from None
        if not isinstance(message, dict):
            raise QemuError(f"QMP: not an object: {line[:200]!r}")
        if "event" in message and len(line) <= _LONGEST_EVENT:
            self.events.append(message)
        return message
