"""Two verdicts side by side, and the bundle that is written when they differ."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from migratable.rehearse import both, differences
from migratable.rehearse.disagreement import named
from migratable.stream import read
from migratable.verdict import Basis, Finding, Outcome, Refusal, Severity, Verdict
from tests.unit.rehearse.test_hostile import program, stream

__all__ = ["program"]


def verdict(outcome: str, message: str = "") -> Verdict:
    refusal = Refusal(rule="x", message=message) if message else None
    return Verdict(outcome=Outcome(outcome), basis=Basis.PREDICTED, first_refusal=refusal)


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        (("loads",), ("loads",), True),
        (("loads",), ("refused", "a"), False),
        (("refused", "a"), ("loads",), False),
        (("refused", "a"), ("refused", "a"), True),
        (("refused", "a"), ("refused", "b"), False),
        (("unknown",), ("refused", "b"), True),
        (("loads",), ("unknown", "b"), True),
    ],
)
def test_what_a_contradiction_is(one: tuple[str, ...], other: tuple[str, ...], agree: bool) -> None:
    assert bool(differences(verdict(*one), verdict(*other))) is not agree


def test_agreement_gives_the_rehearsed_verdict(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIND", "loads")
    line = [program, "-machine", "pc-q35-7.2"]
    found = both(stream(), line, predicted=verdict("loads"), bundles=tmp_path / "bundles")
    assert found.basis is Basis.REHEARSED
    assert not (tmp_path / "bundles").exists()


def test_bundle_of_a_disagreement(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KIND", "fails")
    line = [program, "-machine", "pc-q35-7.2", "-name", "a b"]
    for _ in range(2):  # a second one does not overwrite the first
        found = both(stream(), line, predicted=verdict("loads"), bundles=tmp_path / "bundles")
    assert found.outcome is Outcome.REFUSED
    assert found.disagreement[0] == "predicted: loads; the real QEMU: refused"
    assert len(list((tmp_path / "bundles").iterdir())) == 2
    folder = Path(found.disagreement[-1].removeprefix("please report the folder "))
    assert folder.parent == tmp_path / "bundles"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "stream.mig",
        "command-line.txt",
        "inert-command-line.txt",
        "predicted.json",
        "rehearsed.json",
        "README.txt",
    }
    assert read(folder / "stream.mig").machine == "pc-q35-7.2"
    assert "'a b'" in (folder / "command-line.txt").read_text()
    assert json.loads((folder / "predicted.json").read_text())["verdict"] == "loads"
    rehearsed = json.loads((folder / "rehearsed.json").read_text())
    assert rehearsed["first_refusal"]["message"] == "the moon is in the wrong phase"
    assert "migratable rehearse stream.mig" in (folder / "README.txt").read_text()


def refused(rule: str, message: str, *, summary: str = "", device: str = "cpu") -> Verdict:
    finding = Finding(
        rule=rule, severity=Severity.REFUSES, summary=summary, device=device, instance_id=0
    )
    return Verdict(
        outcome=Outcome.REFUSED,
        basis=Basis.PREDICTED,
        first_refusal=Refusal(rule=rule, device=device, instance_id=0, message=message),
        findings=(finding,),
        stderr=(message,),
    )


LINE = "error while loading state for instance 0x0 of device 'cpu'"


def test_one_name_for_one_cause() -> None:
    """The line alone says post-load; the prediction knows which field."""
    rehearsed = replace(refused("post-load", LINE), basis=Basis.REHEARSED)
    found = named(rehearsed, refused("cpu-identity", LINE, summary="another processor"))
    assert found.basis is Basis.REHEARSED
    assert found.first_refusal is not None
    assert found.first_refusal.rule == "cpu-identity"
    assert [(one.rule, one.summary) for one in found.findings] == [
        ("cpu-identity", "another processor")
    ]
    assert found.stderr == (LINE,)


@pytest.mark.parametrize(
    "predicted",
    [
        refused("cpu-identity", "another line"),
        Verdict(outcome=Outcome.LOADS, basis=Basis.PREDICTED),
        replace(refused("cpu-identity", LINE), findings=()),
    ],
)
def test_another_line_gives_no_name(predicted: Verdict) -> None:
    rehearsed = refused("post-load", LINE)
    assert named(rehearsed, predicted) == rehearsed
