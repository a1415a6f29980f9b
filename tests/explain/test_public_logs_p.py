"""Managers' reports (batch P), and lines whose own words say what helps."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import pytest

from migratable.explain.explanation import Report, Status
from migratable.explain.own_words import said
from migratable.explain.story import explain

FAILURES: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "public_logs_p.toml").read_text(encoding="utf-8")
)["failure"]


def explained(log: str) -> Report:
    return explain(io.BytesIO((log + "\n").encode()))


@pytest.mark.parametrize("failure", FAILURES, ids=[item["name"] for item in FAILURES])
def test_explained(failure: dict[str, Any]) -> None:
    found = explained(failure["log"]).explanations[0]
    assert (str(found.status), found.rule or "", str(found.side)) == (
        failure["status"],
        failure["rule"],
        failure["side"],
    )
    assert failure["fix"].lower() in found.now.lower()


# Lines that no message describes, and what their own words ask for.
OWN_WORDS = [
    ("[2024-01-01] multipassd: cannot launch: disk size unknown, please set --disk first",
     "set --disk first"),
    ("limactl: instance limits changed (hint: run limactl edit default)", "run limactl edit"),
    ("nova-manage: host mapping for compute-3 already exists in the cell database", "leftover"),
    ("vdsm.api: lease of volume 7f1 is locked by host 3", "see what holds it"),
    ("pvedaemon[12]: frobnicating guest agent socket: timed out", "waits for"),
    ("virt-handler: cannot read node topology of worker-2: permission denied", "right"),
    ("com.cloud.agent: link local range of pod 4 is exhausted", "Free or raise"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "asks"), OWN_WORDS)
def test_own_words(line: str, asks: str) -> None:
    told = said(line)
    assert told is not None
    assert asks.lower() in told.now.lower()


def test_own_words_stay_unknown() -> None:
    report = explained("error: harvester: widget of vm-1 cannot be turned (use --flip to override)")
    (found,) = report.explanations
    assert found.status is Status.UNKNOWN
    assert found.message is None
    assert found.now.startswith("Do what the line says: use --flip to override.")
    assert report.exit_status == 3


def test_own_words_of_nobody_known() -> None:
    """Another program's error is shown, and nothing is said of it."""
    report = explained("npm ERR! cannot open './dist/index.js': please run npm build")
    assert report.explanations == ()
    assert len(report.suspicious) == 1


def test_most_telling_of_several() -> None:
    log = "limactl: error: something failed\nlimactl: error: socket not found (hint: run lima up)"
    found = explained(log).explanations[0]
    assert found.number == 2
