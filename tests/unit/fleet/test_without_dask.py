"""Rehearsals on one machine need no Dask."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from migratable.errors import QemuError, ServiceError
from migratable.fleet.distribute import Job, distribute
from migratable.fleet.results import Results
from migratable.verdict import Basis, Outcome, Verdict


@pytest.fixture(autouse=True)
def _no_dask(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        return None if name == "distributed" else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def work(stream: bytes, words: tuple[str, ...], release: str | None, timeout: float) -> Verdict:
    if words[0] == "fails":
        raise QemuError("it hangs")
    if words[0] == "bug":
        raise ValueError("a bug")
    return Verdict(outcome=Outcome(words[0]), basis=Basis.REHEARSED)


def test_each_job_once_and_its_own_result(tmp_path: Path) -> None:
    names = ("loads", "refused", "fails", "bug")
    jobs = [Job(stream=b"x", words=(name, str(number))) for number in range(5) for name in names]
    told: list[int] = []
    with Results(tmp_path / "r.sqlite") as results:
        found = distribute(
            jobs,
            results,
            workers=3,
            work=work,
            progress=lambda what, done, total: told.append(done),
        )
    assert len(found) == 20
    assert sorted(told) == list(range(1, 21))
    by_job = {job.words: found[job.key] for job in jobs}
    for number in "01234":
        loads, refused = by_job["loads", number].verdict, by_job["refused", number].verdict
        assert loads is not None
        assert refused is not None
        assert (loads.outcome, refused.outcome) == (Outcome.LOADS, Outcome.REFUSED)
        assert by_job["fails", number].failure == "it hangs"
        assert "ValueError: a bug" in by_job["bug", number].failure


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    job = Job(stream=b"x", words=("loads",))
    calls: list[int] = []

    def counted(*given: Any) -> Verdict:
        calls.append(1)
        return work(*given)

    with Results(tmp_path / "r.sqlite") as results:
        for _ in range(2):
            distribute([job], results, workers=1, work=counted, resume=True)
    assert calls == [1]


def test_a_scheduler_needs_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, package: str | None = None) -> Any:
        raise ImportError(name=name)

    monkeypatch.setattr(importlib, "import_module", missing)
    job = Job(stream=b"x", words=("loads",))
    with (
        Results(tmp_path / "r.sqlite") as results,
        pytest.raises(ServiceError, match=r"needs the Python package distributed: .*\[dask\]"),
    ):
        distribute([job], results, scheduler="tcp://127.0.0.1:1", work=work)
