"""One request and its answer, such that both end whatever the client does."""

from __future__ import annotations

import asyncio
import time

from starlette.types import Message, Receive, Scope, Send

from migratable.serve.settings import Limits

_PIECE = 64 << 10
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 16 << 20


class Exchange:
    """ASGI's two functions, with what the server leaves out.

    An answer that comes before the body's end closes the connection, after some more of the body
    was read: else the client would meet a reset connection in the place of our words, or could go
    on sending for ever. An answer that the client does not take is dropped.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, limits: Limits) -> None:
        """Wrap *receive* and *send* of one request."""
        headers = {name.lower(): value for name, value in scope["headers"]}
        length = headers.get(b"content-length", b"0").strip()
        self._receive = receive
        self._send = send
        self._limits = limits
        self._drop = scope["state"]["drop"]
        self.begun = False
        self._stopping = False
        self._more = b"transfer-encoding" in headers or length.strip(b"0") != b""
        # A client that sent "Expect" has sent no body yet, and after a refusal sends none.
        self._asked_first = headers.get(b"expect", b"").lower() == b"100-continue"

    def stop(self) -> None:
        """Note that the service ends: the answer closes the connection, the rest is not awaited."""
        self._stopping = True

    async def receive(self) -> Message:
        """Receive a piece of the body."""
        self._asked_first = False
        message = await self._receive()
        if not message.get("more_body", False):
            self._more = False
        return message

    async def send(self, message: Message) -> None:
        """Send a piece of the answer."""
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", []), (b"x-content-type-options", b"nosniff")]
            self.begun = True
            if self._more or self._stopping:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
            await self._send_in_time(message)
            return
        body = message.get("body", b"")
        while len(body) > _PIECE:  # a piece waits until the one before it was taken
            await self._send_in_time({**message, "body": body[:_PIECE], "more_body": True})
            body = body[_PIECE:]
        if self._more and not message.get("more_body", False):
            await self._send_in_time({**message, "body": body, "more_body": True})
            await self._linger()
            body = b""
        await self._send_in_time({**message, "body": body})

    async def _send_in_time(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._limits.idle_time):
                await self._send(message)
        except TimeoutError:
            self._drop()

    async def _linger(self) -> None:
        if self._asked_first or self._stopping:
            return
        end = time.monotonic() + _LINGER_SECONDS
        size = 0
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                while self._more and size < _LINGER_BYTES and time.monotonic() < end:
                    size += len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass
