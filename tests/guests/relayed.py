"""Two QEMUs and a relay between them, for tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from migratable.errors import QemuError
from tests.guests.machines import Running

PROGRAM = Path(sys.executable).with_name("migratable")
STATUS = "query-status"


@dataclass(slots=True, kw_only=True)
class Relay:
    """The program, as a user starts it.

    :ivar address: where it listens, as it said.
    """

    arguments: Sequence[str]
    address: str = ""
    said: list[str] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Relay:
        self._process = subprocess.Popen(
            [str(PROGRAM), "relay", "--json", *self.arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.said.append(line.strip())
            if line.startswith("listening on "):
                self.address = line.split()[2]
                return self
        self._process.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        process = self.process
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            assert pipe is not None
            pipe.close()

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """Without a word."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)

    def end(self, timeout: float = 60) -> tuple[int, dict[str, Any]]:
        """Wait for its end: status and result; an empty one when it printed none."""
        output, errors = self.process.communicate(timeout=timeout)
        self.said += errors.splitlines()
        return self.process.returncode, json.loads(output) if output.strip() else {}


def migrate(source: Running, address: str, *, return_path: bool = True, **more: bool) -> None:
    """Start the migration, at full speed."""
    names = {"return-path": return_path, **{n.replace("_", "-"): v for n, v in more.items()}}
    source.qmp(
        "migrate-set-capabilities",
        capabilities=[{"capability": name, "state": on} for name, on in names.items()],
    )
    source.monitor.execute("migrate-set-parameters", {"max-bandwidth": 1 << 36})
    source.qmp("migrate", uri=address)


def ended(source: Running, timeout: float = 60) -> str:
    """The status with which the source's migration ended."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        status = str(source.qmp("query-migrate").get("status"))
        if status in {"completed", "failed", "cancelled"}:
            return status
        time.sleep(0.02)
    raise QemuError(f"the migration has not ended: {status}")


def state(machine: Running) -> str:
    """Its run state; ``dead`` without one."""
    try:
        return str(machine.qmp(STATUS)["status"])
    except (QemuError, OSError):
        return "dead"


def settled(machine: Running, timeout: float = 30) -> str:
    """The run state when nothing is under way any more."""
    until = time.monotonic() + timeout
    while (now := state(machine)) in {"inmigrate", "finish-migrate"} and time.monotonic() < until:
        time.sleep(0.02)
    return now


@contextlib.contextmanager
def pair(
    source: Sequence[str],
    destination: Sequence[str],
    arguments: Sequence[str],
    incoming: str,
    *,
    into: Sequence[str] | None = None,
) -> Iterator[tuple[Running, Running]]:
    """Start a source and a destination that waits; *into*: its arguments, if they differ."""
    words = [*(into or arguments), "-incoming", incoming]
    with Running(source, arguments) as one, Running(destination, words) as other:
        yield one, other
