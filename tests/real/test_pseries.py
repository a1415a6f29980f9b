"""The pseries model against real programs: what it writes, loads and predicts."""

from __future__ import annotations

import dataclasses
import json
import random
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from migratable.pseries import Model, release, releases
from migratable.pseries.capability import Capability
from migratable.pseries.start import Started, Starter
from migratable.pseries.wire import load, save
from tests.conftest import Lab

pytestmark = pytest.mark.real

DESTINATIONS = ("5.2", "7.2", "10.0", "11.1")
OPTIONS = (
    "cap-htm=off", "cap-vsx=off", "cap-dfp=on", "cap-cfpc=broken", "cap-cfpc=fixed",
    "cap-sbbc=broken", "cap-ibs=fixed-ccd", "cap-ibs=broken", "cap-hpt-max-page-size=16M",
    "cap-hpt-max-page-size=4k", "cap-large-decr=off", "cap-ccf-assist=off", "cap-nested-hv=off",
    "ic-mode=xics", "ic-mode=xive", "ic-mode=dual", "max-cpu-compat=power8",
)  # fmt: skip


class Program:
    """A real QEMU under QMP on its standard input and output."""

    def __init__(self, command: Sequence[str], args: Sequence[str]) -> None:
        more = ["-S", "-nodefaults", "-display", "none", "-qmp", "stdio"]
        self.process = subprocess.Popen(
            [*command, *args, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.runs = bool(self._line()) and self.execute("qmp_capabilities") is not None

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def execute(self, name: str, **arguments: Any) -> dict[str, Any] | None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        while line := self._line():
            answer: dict[str, Any] = json.loads(line)
            if "return" in answer or "error" in answer:
                return answer
        return None

    def migrated(self) -> str:
        """Wait for the end of a migration, ours or the incoming one."""
        for _ in range(3000):
            answer = self.execute("query-migrate")
            if answer is None:
                return "failed"
            status: str = answer["return"].get("status", "")
            if status in ("completed", "failed"):
                return status
            time.sleep(0.01)
        return "hangs"

    def end(self) -> list[str]:
        """Everything that it printed, without its name."""
        self.execute("quit")
        try:
            _, errors = self.process.communicate(timeout=30)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            self.process.kill()
            _, errors = self.process.communicate()
        return [line.removeprefix("qemu-system-ppc64: ") for line in errors.splitlines()]


def real_load(lab: Lab, name: str, args: Sequence[str], stream: Path) -> tuple[str, list[str]]:
    program = Program(lab(name, "ppc64").command, [*args, "-incoming", f"exec:cat {stream}"])
    status = program.migrated() if program.runs else "failed"
    return status, program.end()


def real_save(lab: Lab, name: str, args: Sequence[str], stream: Path) -> tuple[str, list[str]]:
    program = Program(lab(name, "ppc64").command, args)
    status = "start-failed"
    if program.runs:
        program.execute("migrate", uri=f"exec:cat > {stream}")
        status = program.migrated()
    return status, program.end()


def predicted(data: bytes, destination: Started) -> tuple[str, list[str]]:
    loaded = load(data, destination).loaded
    status = "failed" if loaded.refused else "completed"
    return status, [*destination.stderr, *loaded.lines]


def arguments(rnd: random.Random, machine: str, cpu: str) -> list[str]:
    line = ",".join([machine, *rnd.sample(OPTIONS, rnd.randrange(4))])
    return ["-M", line, "-cpu", cpu, "-m", "256M"]


def common_machine(rnd: random.Random, ours: str, theirs: str) -> str | None:
    both = sorted(set(release(ours).machines) & set(release(theirs).machines))
    return rnd.choice(both) if both else None


@pytest.mark.parametrize("name", DESTINATIONS)
@pytest.mark.parametrize("seed", range(12))
def test_what_the_model_writes_is_taken_as_predicted(
    lab: Lab, tmp_path: Path, name: str, seed: int
) -> None:
    """Sources of all releases, those that no distribution has included."""
    rnd = random.Random(f"{name} {seed}")
    while True:
        source = rnd.choice(releases())
        machine = common_machine(rnd, source, name)
        if machine is None:
            continue
        cpu = rnd.choice(("POWER8", "POWER9", "POWER7"))
        ours = Starter(release(source)).start(arguments(rnd, machine, cpu))
        args = arguments(rnd, machine, cpu)
        theirs = Starter(release(name)).start(args)
        if ours.runs and theirs.runs:
            break
    stream = tmp_path / "stream"
    stream.write_bytes(save(ours))
    expected = predicted(stream.read_bytes(), theirs)
    assert real_load(lab, name, args, stream) == expected


@pytest.mark.parametrize("name", DESTINATIONS)
def test_a_release_that_never_existed(lab: Lab, tmp_path: Path, name: str) -> None:
    """A build with cap-xics and cap-xive, which says so in the stream."""
    base = release(name)
    added = [
        Capability(
            name=mode, index=100 + at, kind="bool", subsection=f"spapr/cap/{mode}",
            defaults=((None, 1),), given_by={"ic-mode": {"xics": 1 - at, "xive": at, "dual": 1}},
        )
        for at, mode in enumerate(("xics", "xive"))
    ]  # fmt: skip
    build = dataclasses.replace(base, name="never", capabilities=(*base.capabilities, *added))
    args = ["-M", "pseries-5.2,ic-mode=xics", "-cpu", "POWER9", "-m", "256M"]
    stream = tmp_path / "stream"
    stream.write_bytes(save(Starter(build).start(args)))
    theirs = Starter(base).start(args)
    expected = predicted(stream.read_bytes(), theirs)
    assert expected[0] == "failed"
    assert real_load(lab, name, args, stream) == expected


@pytest.mark.parametrize("source", DESTINATIONS)
@pytest.mark.parametrize("name", DESTINATIONS)
def test_real_streams_and_real_destinations(
    lab: Lab, tmp_path: Path, source: str, name: str
) -> None:
    """The pair from the command lines alone, and the model's reading of the real stream."""
    rnd = random.Random(f"{source} {name}")
    machine = common_machine(rnd, source, name)
    assert machine is not None
    cpu = rnd.choice(("POWER8", "power9_v2.0", "POWER9"))
    ours, theirs = arguments(rnd, machine, cpu), arguments(rnd, machine, cpu)
    pair = Model().judge(source, ours, name, theirs)
    stream = tmp_path / "stream"
    status, lines = real_save(lab, source, ours, stream)
    assert pair.source is not None
    assert (status, lines) == (pair.source_status, list(pair.source.stderr))
    if status != "completed":
        return
    real_status, real_lines = real_load(lab, name, theirs, stream)
    assert real_lines == list(pair.destination_stderr)
    assert (real_status == "completed") == (pair.verdict == "loads")
    assert pair.destination is not None
    if pair.destination.runs:
        assert predicted(stream.read_bytes(), pair.destination) == (real_status, real_lines)
