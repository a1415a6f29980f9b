"""Rehearsals spread over Dask workers: none lost, none twice in the result, whoever is killed."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from migratable.errors import PlanError, ServiceError
from migratable.fleet.distribute import Job, _Order, _task, distribute
from migratable.fleet.results import Result, Results, from_json
from migratable.profile.collect import collect
from migratable.verdict import Basis, Finding, Hint, Outcome, Refusal, Severity, Side, Verdict
from tests.absent import needs
from tests.conftest import Lab
from tests.fleet.spread import work

needs("distributed", "the extra 'dask' is not installed")

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parent.parent.parent
LAUNCHER = REPOSITORY / "src/migratable/qemu/launcher.py"


def jobs(log: Path, count: int, *, seconds: float = 0.0, what: str = "refused") -> list[Job]:
    return [
        Job(stream=b"stream %d" % (number % 3), words=(str(log), str(seconds), what, str(number)))
        for number in range(count)
    ]


def did(log: Path) -> list[tuple[int, str]]:
    """Who did what: process id and pair."""
    if not log.exists():
        return []
    rows = [line.split() for line in log.read_text().splitlines()]
    return [(int(pid), pair) for pid, pair in rows]


class Machine:
    """A scheduler and two workers, as on several machines: processes of their own."""

    def __init__(self, folder: Path, *, nanny: bool = False) -> None:
        self._folder = folder
        self._nanny = "--nanny" if nanny else "--no-nanny"
        self.address = ""
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> Path:
        log = self._folder / f"dask-{len(self.processes)}.log"
        # It dies with the tests, also when these are killed.
        launcher = [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), ""]
        command = [*launcher, sys.executable, "-m", *words]
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, cwd=REPOSITORY, stdout=file, stderr=file, start_new_session=True
            )
        self.processes.append(process)
        return log

    def __enter__(self) -> Machine:
        log = self.start(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"
        )
        end = time.monotonic() + 60
        while not self.address and time.monotonic() < end:
            found = re.search(r"Scheduler at:\s+(tcp://\S+)", log.read_text())
            self.address = found[1] if found else ""
            time.sleep(0.05)
        assert self.address, log.read_text()
        logs = [self.worker() for _ in range(2)]
        while time.monotonic() < end and not all(
            "Registered to" in log.read_text() for log in logs
        ):
            time.sleep(0.05)
        return self

    def worker(self) -> Path:
        options = ["--nthreads", "1", self._nanny, "--no-dashboard"]
        options += ["--local-directory", str(self._folder), "--death-timeout", "60"]
        return self.start("distributed.cli.dask_worker", self.address, *options)

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def results(tmp_path: Path) -> Iterator[Results]:
    with Results(tmp_path / "results.sqlite") as found:
        yield found


def rows(results: Results) -> list[str]:
    with contextlib.closing(sqlite3.connect(results.path)) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM rehearsals")]


def test_a_cluster_of_our_own(tmp_path: Path, results: Results) -> None:
    """Every kind of end is a result; equal jobs are one; progress reaches the end."""
    log = tmp_path / "log"
    wanted = jobs(log, 6)
    wanted += [Job(stream=b"x", words=(str(log), "0", "fails", "6"))]
    wanted += [Job(stream=b"x", words=(str(log), "0", "bug", "7"))]
    wanted += [Job(stream=b"x", words=(str(log), "0", "dies", "8"))]
    told: list[tuple[int, int]] = []
    found = distribute(
        [*wanted, wanted[0]],
        results,
        workers=2,
        progress=lambda what, done, of: told.append((done, of)),
        work=work,
    )
    assert set(found) == {job.key for job in wanted}
    for job in wanted[:6]:
        verdict = found[job.key].verdict
        assert verdict is not None
        assert verdict.outcome is Outcome.REFUSED
        assert verdict.first_refusal is not None
        assert verdict.first_refusal.message.encode() == job.stream
        assert verdict.first_refusal.stderr == ("None", "60.0")
        assert verdict == work(job.stream, job.words, None, 60.0)
    assert [found[job.key].failure for job in wanted[6:]] == [
        "it hung",
        "a bug of migratable in the worker: ZeroDivisionError: oops",
        "worker after worker ended while it rehearsed this pair",
    ]
    assert told[-1] == (9, 9)
    assert [done for done, _ in told] == list(range(1, 10))


def test_one_of_two_workers_is_killed(tmp_path: Path, results: Results) -> None:
    """Half-way one of two workers is killed: the other does its work; every pair is there once."""
    log = tmp_path / "log"
    wanted = jobs(log, 40, seconds=0.1)
    with Machine(tmp_path) as machine:
        killed: list[int] = []

        def kill() -> None:
            while len(did(log)) < 20 or len({pid for pid, _ in did(log)}) < 2:
                time.sleep(0.01)
            victim = machine.processes[1]
            killed.append(victim.pid)
            os.killpg(victim.pid, signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        found = distribute(wanted, results, scheduler=machine.address, work=work)
        killer.join(10)
    assert killed
    by = Counter(pid for pid, _ in did(log))
    assert len(by) == 2
    assert 0 < by[killed[0]] < 40
    assert {pair for _, pair in did(log)} == {str(number) for number in range(40)}
    assert all(result.verdict is not None for result in found.values())
    assert sorted(rows(results)) == sorted(job.key for job in wanted)
    # What was done twice is at most what the killed worker had begun or not yet handed over.
    assert len(did(log)) - 40 <= 5
    # Nothing of its is told as done by the dead after its death.
    assert {result.worker.split(":")[1] for result in found.values()} <= {str(pid) for pid in by}


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


def alive(pid: int) -> bool:
    """Does it run? The dead of a dead parent stay until init takes note of them."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.real
def test_a_worker_is_killed_in_the_middle_of_a_load(
    lab: Lab, tmp_path: Path, results: Results
) -> None:
    """With real QEMUs: the killed worker's dies too, and every pair has its right verdict, once."""
    line = "-M pc-q35-7.2 -m 64M -nodefaults -device virtio-rng-pci"
    streams = {
        name: collect(f"qemu-system-x86_64 {line}", release=name).stream for name in ("7.2", "10.0")
    }
    wanted = {
        (source, to, copy): Job(
            stream=streams[source],
            words=(lab(to).command[0], *line.split(), "-name", f"copy{copy}"),
        )
        for source in streams
        for to in ("7.2", "10.0", "11.1")
        for copy in range(4)
    }
    with Machine(tmp_path) as machine:
        victim = machine.processes[1].pid
        left: list[int] = []

        def kill() -> None:
            while len(rows(results)) < 6 or not children(victim):
                time.sleep(0.002)
            left.extend(children(victim))
            os.killpg(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        found = distribute(list(wanted.values()), results, scheduler=machine.address)
        killer.join(10)
    assert left
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in left) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(alive(pid) for pid in left)
    assert len(found) == len(wanted) == len(rows(results))
    for (source, to, _), job in wanted.items():
        verdict = found[job.key].verdict
        assert verdict is not None, found[job.key]
        refused = (source, to) == ("10.0", "11.1")
        assert verdict.outcome is (Outcome.REFUSED if refused else Outcome.LOADS), (source, to)


def results_so_far(results: Results) -> list[str]:
    return rows(results)


def test_all_workers_killed_then_resumed(tmp_path: Path, results: Results) -> None:
    """With no worker left it ends with words; a second run does the rest and only that."""
    log = tmp_path / "log"
    wanted = jobs(log, 20, seconds=0.1)
    with Machine(tmp_path) as machine, pytest.MonkeyPatch.context() as patch:
        patch.setattr("migratable.fleet.distribute._ALONE_SECONDS", 2.0)

        def kill() -> None:
            while len(did(log)) < 8:
                time.sleep(0.01)
            for victim in machine.processes[1:]:
                os.killpg(victim.pid, signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        with pytest.raises(ServiceError, match="no Dask worker is left; go on with --resume"):
            distribute(wanted, results, scheduler=machine.address, work=work)
    kept = results.done()
    assert 0 < len(kept) < 20
    before = len(did(log))
    found = distribute(wanted, results, workers=1, resume=True, work=work)
    assert len(found) == 20
    assert len(did(log)) - before == 20 - len(kept)
    assert sorted(rows(results)) == sorted(job.key for job in wanted)


def test_the_program_itself_is_killed(tmp_path: Path) -> None:
    """What was done when the client was killed is in the file; `resume` does the rest."""
    log = tmp_path / "log"
    path = tmp_path / "results.sqlite"
    code = f"""
    from pathlib import Path
    from migratable.fleet.distribute import distribute
    from migratable.fleet.results import Results
    from tests.fleet.spread import work
    from tests.fleet.test_distribute import jobs
    if __name__ == "__main__":
        with Results(Path({str(path)!r})) as results:
            distribute(jobs(Path({str(log)!r}), 30, seconds=0.1), results, workers=1, work=work)
    """
    script = tmp_path / "run.py"
    script.write_text(textwrap.dedent(code))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen([sys.executable, script], env=environment, start_new_session=True)
    try:
        end = time.monotonic() + 60
        while len(did(log)) < 8 and time.monotonic() < end:
            time.sleep(0.02)
        process.kill()
        process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    with Results(path) as results:
        kept = results.done()
        assert 5 <= len(kept) < 30
        before = len(did(log))
        found = distribute(jobs(log, 30, seconds=0.1), results, workers=1, resume=True, work=work)
        assert len(found) == 30
        assert len(did(log)) - before == 30 - len(kept)
        # And without it all is done again.
        few = jobs(log, 3)
        before = len(did(log))
        distribute(few, results, workers=1, work=work)
        distribute(few, results, workers=1, resume=True, work=work)
        assert len(did(log)) - before == 3


def test_no_scheduler(results: Results, tmp_path: Path) -> None:
    dask = importlib.import_module("dask.config")
    with dask.set({"distributed.comm.timeouts.connect": "500ms"}):
        for address in ("tcp://127.0.0.1:1", "nonsense://x", "tcp://"):
            with pytest.raises(ServiceError, match="no Dask scheduler at"):
                distribute(jobs(tmp_path / "log", 1), results, scheduler=address, work=work)


def test_a_worker_of_another_version_gives_no_verdict() -> None:
    words = (os.devnull, "0", "refused")
    verdict, failure, _, _ = _task(b"s", _Order(words, None, 1.0, "0.0.1"), work)
    assert verdict is None
    assert "not 0.0.1" in failure
    assert _task(b"s", _Order(words, None, 1.0), work)[0] is not None


def test_keys_are_of_all_that_counts() -> None:
    """A changed stream, line, release or program has another key; a changed timeout has not."""
    one = Job(stream=b"a", words=("q", "-m"), release="10.0", program="p", timeout=1.0)
    others = [
        Job(stream=b"b", words=("q", "-m"), release="10.0", program="p"),
        Job(stream=b"a", words=("q -m",), release="10.0", program="p"),
        Job(stream=b"a", words=("q", "-m"), release="10.1", program="p"),
        Job(stream=b"a", words=("q", "-m"), release="10.0", program="o"),
        Job(stream=b"a", words=("q", "-m"), program="p10.0"),
    ]
    assert len({job.key for job in (one, *others)}) == 6
    assert Job(stream=b"a", words=("q", "-m"), release="10.0", program="p").key == one.key


def test_files_that_are_none(tmp_path: Path) -> None:
    """Not a database, a database of something else, a place that cannot be: words, and no harm."""
    text = tmp_path / "text"
    text.write_text("not a database, but long enough to be looked at as one" * 100)
    other = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE rehearsals (x)")
    for path in (text, other, tmp_path / "text" / "x"):
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises(PlanError, match=str(path)), Results(path):
            pass
        assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_verdict_comes_back_whole() -> None:
    """No member of a verdict, old or new, is lost in the file."""
    hint = Hint(
        action="a",
        command="c",
        side=Side.SOURCE,
        needs_guest_restart=True,
        verified=Basis.PREDICTED,
        changes="c",
        comes_back=True,
        way_back="w",
    )
    finding = Finding(
        rule="r",
        severity=Severity.LATENT,
        summary="s",
        explanation="e",
        device="d",
        instance_id=1,
        subsection="u",
        field="f",
        stderr=("l",),
        hints=(hint,),
    )
    refusal = Refusal(
        rule="r", message="m", device="d", instance_id=2, stderr=("l",), unless=("u",)
    )
    verdict = Verdict(
        outcome=Outcome.REFUSED,
        basis=Basis.REHEARSED,
        source={"a": 1},
        destination={"b": [2]},
        first_refusal=refusal,
        findings=(finding,),
        unchecked=("u",),
        stderr=("l",),
        project=("p",),
        disagreement=("d",),
        back=Verdict(outcome=Outcome.LOADS, basis=Basis.REHEARSED, findings=(finding,)),
        no_back="n",
    )
    for one in (hint, finding, refusal, verdict):
        parts = [part.name for part in fields(one) if part.compare]
        assert [name for name in parts if not getattr(one, name)] == []
    assert from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


def test_a_failure_gives_way_to_a_verdict_and_not_back(results: Results) -> None:
    verdict = work(b"s", (os.devnull, "0", "refused"), None, 1.0)
    results.put(Result(key="k", failure="hung"))
    assert results.done() == set()
    results.put(Result(key="k", verdict=verdict))
    results.put(Result(key="k", failure="hung again"))
    found = results.get("k")
    assert found is not None
    assert (found.verdict, found.failure) == (verdict, "")
    assert results.done() == {"k"}
