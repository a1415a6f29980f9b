"""``migratable.toml``: what a team decided about rules."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

import pytest

from migratable import toml_file
from migratable.check import policy
from migratable.errors import PlanError
from migratable.verdict import Basis, Finding, Outcome, Severity, Verdict

TODAY = datetime.date(2026, 11, 29)
ENTRY = '[[rule]]\nid = "latent"\nseverity = "{}"\nreason = " wait "\nuntil = 2026-11-29\n'


def project(folder: Path, *entries: str) -> policy.Project:
    path = folder / toml_file.PROJECT
    path.write_text("".join(entries))
    return policy.load(path)


def finding(severity: Severity = Severity.LATENT, *stderr: str, **more: str) -> Finding:
    device = more.pop("device", "0000:00:02.0/e1000")
    return Finding(rule="latent", severity=severity, summary="s", device=device, stderr=stderr)


def verdict(*findings: Finding, outcome: Outcome = Outcome.LOADS) -> Verdict:
    return Verdict(outcome=outcome, basis=Basis.PREDICTED, findings=findings, stderr=("line",))


def test_an_entry(tmp_path: Path) -> None:
    (one,) = project(tmp_path, ENTRY.format("warns") + 'device = "*/e1000"\n').decisions
    assert (one.id, one.severity, one.reason) == ("latent", Severity.WARNS, "wait")
    assert (one.until, one.device) == (TODAY, "*/e1000")
    (silent,) = project(tmp_path, ENTRY.format("silent")).decisions
    assert (silent.severity, silent.device) == (None, "*")
    assert project(tmp_path, "").decisions == ()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("x = 1\n", "'x' is not known"),
        ("[rule]\n", "'rule' is a table"),
        ("rule = [1]\n", "number 1: a table is expected"),
        (ENTRY.format("warns") * 2 + "x = 1\n", "number 2: 'x' is not known"),
        ('[[rule]]\nid = "latent"\nseverity = "warns"\n', "'reason' is missing"),
        ('[[rule]]\nid = 1\nseverity = "warns"\nreason = "x"\n', "'id' is missing or not a string"),
        (ENTRY.format(" ").replace(" wait ", "x"), "'severity' is missing"),
        (ENTRY.format("warns").replace('"latent"', '"late"'), "no rule has the id 'late'"),
        (ENTRY.format("warns").replace("2026-11-29", "2026-11-29T10:00:00"), "'until' needs"),
        (ENTRY.format("warns").replace("2026-11-29", '"soon"'), "'until' needs"),
        (ENTRY.format("bad"), "severity 'bad'; allowed are silent, refuses"),
        ("[[rule\n", "Expected"),
        ("#" * ((1 << 20) + 1), "more than 1048576 bytes"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(PlanError, match=r"migratable\.toml") as caught:
        project(tmp_path, text)
    assert error in str(caught.value)


def test_a_file_of_the_largest_size(tmp_path: Path) -> None:
    assert project(tmp_path, "#" * (1 << 20)).decisions == ()
    with pytest.raises(PlanError, match="cannot read"):
        policy.load(tmp_path / "absent.toml")


def test_found_above_and_of_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / toml_file.PROJECT).touch()
    (below / toml_file.PROJECT).mkdir()  # no file
    assert toml_file.find_project(below) == tmp_path / toml_file.PROJECT
    owner = os.geteuid()
    if owner == 0:
        os.chown(tmp_path / toml_file.PROJECT, 4242, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert toml_file.find_project(below) is None
    (tmp_path / "a" / toml_file.PROJECT).touch()
    assert (toml_file.find_project(below) is not None) is (owner == 0)


@pytest.mark.parametrize(
    ("severity", "left"),
    [("silent", []), ("warns", [Severity.WARNS])],
)
def test_changed(tmp_path: Path, severity: str, left: list[Severity]) -> None:
    decided = project(tmp_path, ENTRY.format(severity))
    found = policy.apply(verdict(finding()), decided, today=TODAY)
    assert [one.severity for one in found.findings] == left
    what = "silenced" if severity == "silent" else severity
    assert found.project == (f"latent: {what} until 2026-11-29: wait",)
    assert found.outcome is Outcome.LOADS


def test_it_ends_on_its_day(tmp_path: Path) -> None:
    later = TODAY + datetime.timedelta(days=1)
    found = policy.apply(verdict(finding()), project(tmp_path, ENTRY.format("silent")), today=later)
    assert [one.rule for one in found.findings] == ["latent"]
    assert found.project == ("latent: ended on 2026-11-29, no longer applied",)


def test_only_the_rule_and_the_device(tmp_path: Path) -> None:
    decided = project(tmp_path, ENTRY.format("silent") + 'device = "*/e1000"\n')
    other = Finding(rule="layout", severity=Severity.WARNS, summary="s", device="x/e1000")
    wide = finding(device="")
    found = policy.apply(verdict(other, finding(), wide), decided, today=TODAY)
    assert found.findings == (other, wide)


def test_no_file_makes_qemu_load(tmp_path: Path) -> None:
    refusing = finding(Severity.REFUSES, "load of migration failed")
    found = policy.apply(
        verdict(refusing, outcome=Outcome.REFUSED),
        project(tmp_path, ENTRY.format("silent")),
        today=TODAY,
    )
    assert found.findings == (refusing,)
    assert found.outcome is Outcome.REFUSED
    assert found.project == (
        "latent: not changed: QEMU refuses, and a project file cannot change that",
    )
    own = finding(Severity.REFUSES)  # raised by a file before
    left = policy.apply(verdict(own), project(tmp_path, ENTRY.format("silent")), today=TODAY)
    assert left.findings == ()


def test_raised_to_a_refusal(tmp_path: Path) -> None:
    decided = project(tmp_path, ENTRY.format("refuses"))
    found = policy.apply(verdict(finding()), decided, today=TODAY)
    assert found.outcome is Outcome.REFUSED
    assert found.first_refusal is not None
    assert found.first_refusal.message == "(by the project file) s"
    assert found.first_refusal.stderr == ("line",)
    unknown = policy.apply(verdict(finding(), outcome=Outcome.UNKNOWN), decided, today=TODAY)
    assert unknown.outcome is Outcome.UNKNOWN
    assert unknown.first_refusal is None


def test_every_decision_is_looked_at(tmp_path: Path) -> None:
    """One that ended, one for a finding that stays: the others are applied all the same."""
    ended = ENTRY.format("silent").replace("2026", "2025")
    decided = project(tmp_path, ended, ENTRY.format("warns").replace("latent", "layout"))
    grave = Finding(rule="layout", severity=Severity.REFUSES, summary="s", stderr=("l",))
    mild = Finding(rule="layout", severity=Severity.LATENT, summary="s")
    found = policy.apply(verdict(grave, mild), decided, today=TODAY)
    assert [one.severity for one in found.findings] == [Severity.REFUSES, Severity.WARNS]
    assert len(found.project) == 3


def test_roots_file_decides_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a file of root's")
    (tmp_path / toml_file.PROJECT).touch()
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert toml_file.find_project(tmp_path) == tmp_path / toml_file.PROJECT
