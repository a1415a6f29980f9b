"""Whoever serves a QMP socket may answer anything: an error with its name, in time and memory."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from migratable.capture.monitor import MOST_STATE, Exchange, FolderExchange
from migratable.capture.running import capture
from migratable.errors import CaptureError, MigratableError, QemuError
from migratable.qemu.qmp import Qmp
from tests.unit.capture.fake import CALM, FakeMonitor
from tests.unit.capture.test_capture import _raw

STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 1 << 70, 1e308, float("inf"), "", "x\x1b[8m\n", [], [[]], [None], [5]),
    *({}, {"a": 1}, {"status": []}, {"name": None}, {"name": [1]}, [{"capability": 1}], "\0"),
    *({"qemu": {"major": float("inf"), "minor": 1, "micro": 1}}, [{"qom-path": 7}], [[0] * 3]),
)
TEXTS = (
    *("", "\n" * 1000, "x" * 100_000, "0" * 5000, "\x00\x1b[8m", "a 4 KiB 0x0 0x0 0x0"),
    *("a" + " " * 200_000 + "4 KiB", "a 4 KiB" * 30_000),
    "  pc.ram 4 KiB  0x0 0x" + "f" * 5000 + " 0x" + "f" * 5000,
    ' AS "memory", root: system\n  ffffffffffffffffffff-0 (prio 0, ram): pc.ram @fffff\n' * 50,
    ' AS "memory", root: system\n  0-' + "f" * 5000 + " (prio 0, ram): pc.ram @" + "f" * 5000,
)


class Liar(FakeMonitor):
    """One of its answers is another."""

    def __init__(self, which: str, answer: Any, raw: bytes) -> None:
        super().__init__(raw)
        self._which, self._answer = which, answer

    def execute(self, command: str, arguments: Any = None, **more: Any) -> Any:
        found = super().execute(command, arguments, **more)
        names = {command, *map(str, (arguments or {}).values())}
        return self._answer if self._which in names else found


def test_no_answer_is_a_bug() -> None:
    random_ = random.Random(2)
    asked = [*CALM, "add-fd", "query-fdsets", "pmemsave", "type", "feature-words", "remove-fd"]
    texts = ["info ramblock", "info mtree -f", "xp /4096xb 0xc0000"]
    refused = 0
    for which in (*asked, *texts):
        for answer in (*random_.sample(STRANGE, 8), *(TEXTS if which in texts else ())):
            with contextlib.closing(Liar(which, answer, _raw())) as monitor:
                try:
                    capture(monitor, confirm=lambda words: True, untried=True)
                except MigratableError:
                    refused += 1
    assert refused > 60


@pytest.mark.parametrize("raw", [b"", b"QEVM", b"\0" * 5000, b"QEVM\0\0\0\3" + b"\4" * 5000])
def test_a_state_that_is_none(raw: bytes) -> None:
    with contextlib.closing(FakeMonitor(raw)) as monitor, pytest.raises(MigratableError):
        capture(monitor, confirm=lambda words: True, untried=True)


@pytest.mark.slow
def test_a_state_of_terabytes(tmp_path: Path) -> None:
    with contextlib.closing(FakeMonitor()) as monitor, contextlib.closing(Exchange(monitor)) as one:
        os.ftruncate(one._memory, 1 << 42)
        with pytest.raises(CaptureError, match="more than the"):
            one.read()
    with contextlib.closing(FolderExchange()) as two:
        os.mkfifo(two.path)
        with pytest.raises(CaptureError, match="not a regular file"):
            two.read()
        Path(two.path).unlink()
        with Path(two.path).open("wb") as file:
            file.truncate(MOST_STATE + 1)
        with pytest.raises(CaptureError, match="more than"):
            two.read()


def _served(*parts: bytes, again: bytes = b"") -> tuple[Qmp, threading.Thread]:
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs, contextlib.suppress(OSError):
            for part in parts:
                theirs.sendall(part)
            while again:
                theirs.sendall(again)
            while theirs.recv(1 << 16):
                pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return Qmp(ours), thread


def test_events_without_end() -> None:
    """They come faster than they are read; the time is up all the same, and few are kept."""
    event = json.dumps({"event": "X", "data": "y" * 4000}).encode() + b"\n"
    qmp, thread = _served(b'{"QMP": {}}\n{"return": {}}\n', again=event * 50)
    qmp.negotiate(5.0)
    with pytest.raises(QemuError, match="no answer in time"):
        qmp.execute("query-status", timeout=1.0)
    assert len(qmp.events) <= 2000
    qmp.close()
    thread.join(5.0)


@pytest.mark.parametrize(
    "answer", [b'{"error": 5}\n', b"[" * 200_000 + b"\n", b"7\n", b"\xff\n", b'{"error": []}\n']
)
def test_an_answer_that_is_none(answer: bytes) -> None:
    qmp, thread = _served(b'{"QMP": {}}\n{"return": {}}\n', answer)
    qmp.negotiate(5.0)
    with pytest.raises(QemuError):
        qmp.execute("query-status", timeout=5.0)
    qmp.close()
    thread.join(5.0)
