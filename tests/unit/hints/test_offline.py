"""Hints without a program: from profiles at hand."""

from __future__ import annotations

import pytest

from migratable.hints import offline
from migratable.profile.model import Profile
from migratable.releases import QemuVersion
from migratable.stream import Stream
from migratable.verdict import Basis, Finding, Outcome, Severity, Verdict
from tests.unit.stream import tiny

MACHINE = "pc-q35-10.0"


def made(line: str, *, release: int = 10, machine: str = MACHINE) -> Profile:
    return Profile(
        version=QemuVersion(release, 0),
        machine=machine,
        target="x86_64",
        command_line=tuple(line.split()),
    )


def hints(monkeypatch: pytest.MonkeyPatch, **others: Profile) -> Verdict:
    """Of a guest that loads where ``good`` stands on the line."""

    def check(stream: Stream, profile: Profile) -> Verdict:
        del stream
        loads = "good" in profile.command_line
        outcome = Outcome.LOADS if loads else Outcome.REFUSED
        return Verdict(outcome=outcome, basis=Basis.PREDICTED)

    monkeypatch.setattr(offline, "check", check)
    findings = (
        Finding(rule="layout", severity=Severity.REFUSES, summary=""),
        Finding(rule="latent", severity=Severity.LATENT, summary=""),
    )
    refused = Verdict(outcome=Outcome.REFUSED, basis=Basis.PREDICTED, findings=findings)
    own = made("qemu -smp 1 -cpu bad")
    return offline.siblings(refused, tiny.stream(), own, others.items())


def test_a_sibling_that_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    found = hints(monkeypatch, other=made("qemu -smp 1 -cpu good"))
    (hint,) = found.findings[0].hints
    assert hint.action == "-cpu good (profile other)"
    assert hint.command == "qemu -smp 1 -cpu good"
    assert hint.verified is Basis.PREDICTED
    assert found.findings[1].hints == ()


@pytest.mark.parametrize(
    "other",
    [
        made("qemu -smp 2 -cpu bad"),  # refuses too
        made("qemu -smp 1 -cpu good", release=9),
        made("qemu -smp 1 -cpu good", machine="pc-q35-9.2"),
    ],
)
def test_others_are_no_hint(monkeypatch: pytest.MonkeyPatch, other: Profile) -> None:
    assert hints(monkeypatch, other=other).findings[0].hints == ()
