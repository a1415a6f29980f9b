"""A request's body into a temporary file without a name, never into memory.

The size is limited as it comes (a ``Content-Length`` is believed only when it is too large), and so
is the time: a sender that pauses or trickles is told so and dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from typing import IO

from starlette.requests import ClientDisconnect, Request

from migratable.serve.problem import Problem
from migratable.serve.settings import Limits, Settings

_BLOCK = 1 << 20


@contextlib.asynccontextmanager
async def received(request: Request, settings: Settings, limit: int) -> AsyncIterator[IO[bytes]]:
    """Receive the body; the file is gone when the block ends.

    :raise Problem: 400 empty or cut short, 408 too slow, 413 too large, 507 no room.
    """
    _announced(request, limit)
    try:
        file = tempfile.TemporaryFile(dir=settings.temporary, buffering=0)  # noqa: SIM115
    except OSError as error:
        raise Problem(507, "no-room", f"cannot store the upload: {error.strerror}") from None
    try:
        size = await _fill(file, request, settings.limits, limit)
        if size == 0:
            raise Problem(400, "empty", "the request has no body; send the stream or the profile")
        yield file
    finally:
        file.close()


def _announced(request: Request, limit: int) -> None:
    text = request.headers.get("content-length")
    if text is None:
        return
    if not (text.isascii() and text.isdigit()) or int(text[:20]) > limit:
        raise _too_large(limit)


async def _fill(file: IO[bytes], request: Request, limits: Limits, limit: int) -> int:
    pieces: list[bytes] = []
    pending = size = 0
    begun = time.monotonic()
    body = request.stream()
    while True:
        try:
            async with asyncio.timeout(limits.idle_time):
                piece = await anext(body, None)
        except TimeoutError:
            raise _too_slow(f"nothing came for {limits.idle_time:g} s") from None
        except ClientDisconnect:
            raise Problem(400, "cut-short", "the connection ended before the body did") from None
        if piece is None:
            break
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        elapsed = time.monotonic() - begun - limits.idle_time
        if elapsed > 0 and size < limits.rate * elapsed:
            raise _too_slow(f"the body comes slower than {limits.rate} bytes a second")
        pieces.append(piece)
        pending += len(piece)
        if pending >= _BLOCK:
            await _write(file, pieces)
            pieces, pending = [], 0
    await _write(file, pieces)
    return size


async def _write(file: IO[bytes], pieces: list[bytes]) -> None:
    def write() -> None:
        view = memoryview(b"".join(pieces))
        while view:
            view = view[file.write(view) :]

    try:
        await asyncio.to_thread(write)
    except OSError as error:
        raise Problem(507, "no-room", f"cannot store the upload: {error.strerror}") from None


def _too_large(limit: int) -> Problem:
    return Problem(
        413,
        "too-large",
        f"the body has more than {limit} bytes; a capture without RAM contents "
        "(migratable capture) is a few hundred KiB, or start the service with a higher limit",
        limit=limit,
    )


def _too_slow(how: str) -> Problem:
    return Problem(408, "too-slow", f"{how}; the upload was dropped")
