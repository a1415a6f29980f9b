"""HTTP/1.1 connections that nobody can hold open for nothing.

uvicorn times idle connections, but neither a head that never ends nor a client that does not take
its answer. Its errors in this layer are plain text; ours are JSON.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from migratable.serve.problem import Problem, too_busy
from migratable.serve.settings import Limits

HEAD_BYTES = 32 << 10
"""Longest head of a request."""
_LINGER_SECONDS = 1.0


def protocol(limits: Limits) -> type[asyncio.Protocol]:
    """Make the protocol class for *limits*: uvicorn takes a class."""

    class Connection(_Connection):
        LIMITS = limits

    return Connection


class _Connection(H11Protocol):
    LIMITS = Limits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The application can drop a connection whose client does not read the answer.
        self.app_state = {**self.app_state, "drop": self._drop}
        self._head_timer: asyncio.TimerHandle | None = None
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.LIMITS.connections:
            self._answer(too_busy("too many connections"))
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if self._refused or self.transport.is_closing():
            self._stop_timer()
        elif self.conn.their_state is h11.IDLE:
            if self._head_timer is None:
                self._await_head()
        else:
            self._stop_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, also one in which the head is too long."""
        self._stop_timer()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self._answering():
            self._answer(Problem(400, "no-http", f"no HTTP request, or a head over {HEAD_BYTES}"))
        else:  # the body's framing is broken: whoever reads it is told that it ended
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, also when the client did not take the last answer."""
        super().timeout_keep_alive_handler()
        self._drop_later()

    def on_response_complete(self) -> None:
        """See that a connection that is to be closed is."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._drop_later()

    def _drop_later(self) -> None:
        self.loop.call_later(self.LIMITS.idle_time, self._drop)

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.LIMITS.header_time, self._head_is_late)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing() and not self._answering():
            text = f"the request's head took more than {self.LIMITS.header_time:g} s"
            self._answer(Problem(408, "too-slow", text))

    def _drop(self) -> None:
        self.transport.abort()

    def _answer(self, problem: Problem) -> None:
        """Write an answer past h11, which may be in any state, and close."""
        body = json.dumps(problem.to_json()).encode()
        lines = [
            f"HTTP/1.1 {problem.status} {problem.error}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
            *(f"{name}: {value}" for name, value in problem.headers.items()),
        ]
        self.transport.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        # If bytes of the client are unread, the close is a reset, which may overtake our answer.
        self._refused = True
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)
        self._drop_later()
