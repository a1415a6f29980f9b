"""Reading a stream: its cost must not grow with the guest's RAM, and a walk of RAM is nearly free.

Two streams of one machine are made with a QEMU of the lab: its RAM is empty in the first and full
in the second. Name QEMU's own reader, scripts/analyze-migration.py of a QEMU source tree, in
ANALYZE_MIGRATION to have it measured beside ours.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import PROGRAM, Row, best, peak_memory, seconds
from migratable.errors import LabError
from migratable.lab import find
from migratable.stream import read

MEGABYTES = 1024
_PATTERN = 1 << 20  # bytes of noise, repeated; no two neighbouring pages are the same


def rows() -> Iterator[Row]:
    """Measure ``inspect`` with and without RAM contents, and the walk beside ``cat``."""
    try:
        qemu = find("10.0", "x86_64").command
    except LabError as error:
        print(f"inspect: left out: {error}")
        return
    with tempfile.TemporaryDirectory() as folder:
        empty, full = Path(folder, "empty.mig"), Path(folder, "full.mig")
        save(qemu, empty, filled=False)
        save(qemu, full, filled=True)
        size = f"{full.stat().st_size / 1e6:.0f} MB"
        without = seconds([*PROGRAM, "inspect", str(empty)])
        yield Row(what=f"inspect, {empty.stat().st_size / 1e6:.0f} MB stream", value=without)
        value = seconds([*PROGRAM, "inspect", str(full)])
        yield Row(what=f"inspect, {size} stream", value=value, beside=without, most=2)
        cat = seconds(["cat", str(full)], times=5)
        yield Row(what=f"cat, {size}", value=cat)
        value = best(lambda: walk(full), times=5)
        yield Row(what=f"RAM walk, {size}", value=value, beside=cat, most=1.5, note="cat")
        command = [*PROGRAM, "inspect", "--ram", str(full)]
        yield Row(what=f"inspect --ram, {size}", value=seconds(command, times=5), note="whole")
        least = anonymous_memory([*PROGRAM, "inspect", "--ram", str(empty)])
        yield Row(what="inspect --ram without RAM contents, memory", value=least, unit="MB")
        memory = anonymous_memory(command)
        what = f"  with {size}, mapped file apart"
        yield Row(what=what, value=memory, unit="MB", beside=least, most=2)
        if script := os.environ.get("ANALYZE_MIGRATION"):
            for path in (empty, full):
                command = [sys.executable, script, "-f", str(path), "-d", "state"]
                yield Row(
                    what=f"analyze-migration.py, {path.stem}", value=seconds(command, times=3)
                )
                yield Row(what="  resident memory", value=peak_memory(command), unit="MB")


def walk(path: Path) -> float:
    """Time of reading with all RAM records counted; the program's start is not in it."""
    start = time.perf_counter()
    statistics = read(path, ram=True).ram_statistics
    assert statistics is not None
    assert statistics.blocks["ram"].records >= MEGABYTES * 256
    return time.perf_counter() - start


def save(qemu: list[str], target: Path, *, filled: bool) -> None:
    """Save a paused q35 machine; its RAM holds nothing, or noise in every page."""
    with tempfile.TemporaryDirectory() as folder:
        ram = Path(folder, "ram")
        with ram.open("wb") as file:
            noise = os.urandom(_PATTERN)
            for _ in range(MEGABYTES if filled else 0):
                file.write(noise)
            file.truncate(MEGABYTES << 20)
        backend = f"memory-backend-file,id=ram,size={MEGABYTES}M,mem-path={ram},share=on"
        command = [*qemu, "-M", "q35,memory-backend=ram", "-m", f"{MEGABYTES}M", "-object", backend]
        command += ["-S", "-display", "none", "-nodefaults", "-qmp", "stdio"]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            try:
                _talk(process, target)
            finally:
                process.kill()


def _talk(process: subprocess.Popen[str], target: Path) -> None:
    assert process.stdin is not None
    assert process.stdout is not None

    def ask(name: str, **arguments: object) -> dict[str, object]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        process.stdin.flush()
        for line in process.stdout:
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{name}: {answer['error']['desc']}")
            if "return" in answer:
                found: dict[str, object] = answer["return"]
                return found
        raise RuntimeError(f"QEMU ended at {name}")

    ask("qmp_capabilities")
    ask("migrate-set-parameters", **{"max-bandwidth": 1 << 36})
    ask("migrate", uri=f"exec:cat >{target}")
    while (status := ask("query-migrate").get("status")) != "completed":
        if status in ("failed", "cancelled"):
            raise RuntimeError(f"the machine cannot be saved: {status}")


def anonymous_memory(command: list[str]) -> float:
    """Peak of resident memory without file pages, in MB, sampled while the command runs."""
    peak = 0
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=null, stderr=null) as process:
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
            except OSError:
                break
            for line in status.splitlines():
                if line.startswith("RssAnon:"):
                    peak = max(peak, int(line.split()[1]))
    return peak / 1024
