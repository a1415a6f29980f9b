"""A request that the end of the service cuts off."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from migratable.serve.application import _Guard
from migratable.serve.settings import Settings

SCOPE: dict[str, Any] = {
    "type": "http",
    "method": "POST",
    "path": "/check",
    "query_string": b"",
    "headers": [(b"host", b"localhost"), (b"content-length", b"100")],
    "state": {"drop": lambda: None},
}


async def _cut(*, begun: bool) -> list[dict[str, Any]]:
    """What is sent for a request whose task uvicorn cancels while the body is awaited."""
    sent: list[dict[str, Any]] = []
    waits = asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def receive() -> Any:
        waits.set()
        await asyncio.Event().wait()

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await receive()

    task = asyncio.create_task(_Guard(inner, Settings())(SCOPE, receive, send))
    await waits.wait()
    task.cancel()
    if begun:
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        await task
    return sent


def test_it_gets_503() -> None:
    head, body, *rest = asyncio.run(_cut(begun=False))
    assert head["status"] == 503
    assert (b"connection", b"close") in head["headers"]
    assert b'"stopping"' in body["body"] + b"".join(one["body"] for one in rest)


def test_not_after_another_answer_has_begun() -> None:
    (head,) = asyncio.run(_cut(begun=True))
    assert head["status"] == 200
