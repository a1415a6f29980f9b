"""Destinations that hang, crash, flood, refuse or are not there: an answer or a clear error."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from migratable.errors import CommandLineError, LabError, MigratableError, QemuError, StreamError
from migratable.rehearse import Destination, rehearse, rehearse_all
from migratable.stream import RamBlock, Stream
from migratable.stream.edit import make_stream
from migratable.stream.pages import ram_end, ram_start
from migratable.verdict import Basis, Outcome

FAKE = Path(__file__).with_name("fake_qemu.py")


def stream() -> Stream:
    blocks = [RamBlock(id="pc.ram", used_length=1 << 20)]
    return make_stream("pc-q35-7.2", [ram_start(blocks), ram_end()])


@pytest.fixture
def program(tmp_path: Path) -> str:
    """A starter, so that kinds are words of the command line's program."""
    path = tmp_path / "qemu-system-x86_64"
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -I {FAKE} "$KIND" "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    descriptors = _descriptors()
    yield
    assert list(folder.iterdir()) == []
    assert not _children()
    deadline = time.monotonic() + 60
    while _descriptors() > descriptors and time.monotonic() < deadline:
        time.sleep(0.01)  # a feeding thread sees the end of its socket
    assert _descriptors() == descriptors


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def _children() -> list[str]:
    """Fake programs of ours that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            text = (path / "cmdline").read_bytes().decode("utf-8", "replace")
            parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if str(FAKE) in text and int(parent) == os.getpid():
            found.append(text)
    return found


def run(program: str, kind: str, monkeypatch: pytest.MonkeyPatch, timeout: float = 1.5) -> object:
    monkeypatch.setenv("KIND", kind)
    try:
        return rehearse(stream(), [program, "-machine", "pc-q35-7.2"], timeout=timeout)
    except MigratableError as error:
        return error


@pytest.mark.parametrize("kind", ["mute", "greets", "hangs", "floods", "floods-loading"])
def test_hanging_destination_is_an_error_in_time(
    kind: str, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = run(program, kind, monkeypatch)
    assert isinstance(answer, QemuError)
    assert "no verdict" in str(answer)
    assert "hang" in str(answer) or "in time" in str(answer)
    assert len(str(answer)) < 4000


def test_loads(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run(program, "loads", monkeypatch, timeout=60)
    assert not isinstance(answer, MigratableError), answer
    assert answer.outcome is Outcome.LOADS  # type: ignore[attr-defined]
    assert answer.basis is Basis.REHEARSED  # type: ignore[attr-defined]
    assert answer.destination["qemu"] == "7.2.22"  # type: ignore[attr-defined]


def test_destination_that_refuses_to_start(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run(program, "refuses", monkeypatch, timeout=60)
    assert answer.outcome is Outcome.REFUSED  # type: ignore[attr-defined]
    refusal = answer.first_refusal  # type: ignore[attr-defined]
    assert refusal.rule == "destination-start"
    assert refusal.message == "-device nonsense: 'nonsense' is not a valid device model name"
    assert answer.findings[0].stderr == refusal.stderr  # type: ignore[attr-defined]


def test_destination_that_ends_silently_at_its_start(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = run(program, "dead", monkeypatch, timeout=60)
    assert answer.outcome is Outcome.REFUSED  # type: ignore[attr-defined]
    refusal = answer.first_refusal  # type: ignore[attr-defined]
    assert refusal.rule == "destination-start"
    assert "exit status 1" in refusal.message


def test_crash_while_loading_is_a_refusal(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run(program, "crashes", monkeypatch, timeout=60)
    assert answer.outcome is Outcome.REFUSED  # type: ignore[attr-defined]
    refusal = answer.first_refusal  # type: ignore[attr-defined]
    assert (refusal.rule, "Assertion" in refusal.message) == ("destination-crash", True)
    assert "SIGABRT" in answer.findings[0].summary  # type: ignore[attr-defined]


def test_killed_from_outside_is_no_answer(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = run(program, "killed", monkeypatch, timeout=60)
    assert isinstance(answer, QemuError)
    assert "SIGKILL" in str(answer)


def test_monitor_closed_and_going_on_is_no_answer(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = run(program, "closes", monkeypatch, timeout=1.5)
    assert isinstance(answer, QemuError)
    assert "closed its monitor" in str(answer)


def test_unknown_reason_is_a_refusal_that_is_not_recognised(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = run(program, "fails", monkeypatch, timeout=60)
    assert answer.outcome is Outcome.REFUSED  # type: ignore[attr-defined]
    refusal = answer.first_refusal  # type: ignore[attr-defined]
    assert (refusal.rule, refusal.message) == ("unrecognised", "the moon is in the wrong phase")


@pytest.mark.parametrize(
    ("line", "release", "error"),
    [
        (["/nowhere/qemu-system-x86_64-none", "-S"], None, CommandLineError),
        (["qemu-system-x86_64", "-readconfig", "/nowhere/pve.cfg"], "10.0", CommandLineError),
        (["qemu-system-x86_64", "-S"], "1.0", LabError),
        ([], None, CommandLineError),
    ],
)
def test_missing_things_are_clear_errors(
    line: list[str], release: str | None, error: type[MigratableError]
) -> None:
    with pytest.raises(error) as raised:
        rehearse(stream(), line, release=release)
    assert len(str(raised.value)) > 20


def test_one_bad_destination_does_not_stop_the_others(
    program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIND", "loads")
    missing = Destination(command_line=["/nowhere/qemu-none"], name="missing")
    good = Destination(command_line=[program, "-machine", "pc-q35-7.2"])
    seen: list[int] = []
    answers = rehearse_all(stream(), [good, missing, good], timeout=60, jobs=2, done=seen.append)
    assert isinstance(answers[1], CommandLineError)
    assert [getattr(one, "outcome", None) for one in answers] == ["loads", None, "loads"]
    assert sorted(seen) == [0, 1, 2]


def test_interrupted_in_the_middle(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends all destinations at once, not at their time limits."""
    monkeypatch.setenv("KIND", "hangs")
    line = Destination(command_line=[program, "-machine", "pc-q35-7.2"])
    timer = threading.Timer(1.0, lambda: os.kill(os.getpid(), 2))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        rehearse_all(stream(), [line] * 3, timeout=100_000, jobs=3)
    timer.join()


def test_watching_needs_the_guests_memory(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIND", "loads")
    with pytest.raises(StreamError, match="guest memory"):
        rehearse(stream(), [program, "-machine", "pc-q35-7.2"], watch=1.0)
