"""The matrix of a fleet file, made anew when it is asked for and old.

It is made by ``migratable matrix`` in a process of its own: a large fleet takes memory and time
that the service does not give away, and may start QEMU programs, which die with their starter.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from migratable.serve.problem import Problem

_FRESH_SECONDS = 30.0
_MAKE_SECONDS = 600.0
_ANSWERS = (0, 1, 3)
"""Exit statuses with a result; 2 has one too where only some pairs failed."""


class FleetPage:
    """JSON and page of one fleet file, in a private folder."""

    def __init__(self, fleet: Path) -> None:
        """Prepare; nothing is made yet."""
        self._fleet = fleet.absolute()
        self._folder = tempfile.TemporaryDirectory(prefix="migratable-serve-")
        self._lock = asyncio.Lock()
        self._made: float | None = None

    @property
    def document(self) -> Path:
        """The matrix, ``migratable.matrix/1``."""
        return Path(self._folder.name) / "matrix.json"

    @property
    def page(self) -> Path:
        """The same as one HTML page."""
        return Path(self._folder.name) / "matrix.html"

    async def fresh(self) -> FleetPage:
        """See that both are there and not old.

        :raise Problem: 500, with what the command said.
        """
        async with self._lock:
            if self._made is None or time.monotonic() - self._made > _FRESH_SECONDS:
                await self._make(str(self._fleet), self.document)
                await self._make(str(self.document), self.page)
                self._made = time.monotonic()
        return self

    async def _make(self, source: str, target: Path) -> None:
        command = [sys.executable, "-P", "-m", "migratable", "matrix", source, "-o", str(target)]
        before = target.stat().st_mtime_ns if target.exists() else 0
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_MAKE_SECONDS):
                _, said = await process.communicate()
        except TimeoutError:
            text = f"the fleet's matrix took more than {_MAKE_SECONDS:g} s"
            raise Problem(503, "too-slow", text) from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        made = target.exists() and target.stat().st_mtime_ns != before
        if not (made or process.returncode in _ANSWERS):
            words = said.decode("utf-8", "replace").strip()[-2000:]
            raise Problem(500, "fleet", words or f"status {process.returncode}")

    def close(self) -> None:
        """Remove the files."""
        self._folder.cleanup()
