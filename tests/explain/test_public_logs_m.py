"""Public reports in which a tool's words stand around the error: what is told, and the side."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import pytest

from migratable.explain.story import explain

FAILURES: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "public_logs_m.toml").read_text(encoding="utf-8")
)["failure"]


@pytest.mark.parametrize("failure", FAILURES, ids=[item["name"] for item in FAILURES])
def test_explained(failure: dict[str, Any]) -> None:
    report = explain(io.BytesIO(failure["log"].encode()))
    assert report.exit_status == failure["exit"]
    if failure["status"] == "none":
        assert not report.explanations
        assert report.suspicious
        return
    found = report.explanations[0]
    assert (str(found.status), found.rule or "", str(found.side)) == (
        failure["status"],
        failure["rule"],
        failure["side"],
    )
    said = " ".join((found.line, found.meaning, found.now, *found.details))
    for word in failure["words"]:
        assert word in said
    assert not any(case.certainty == "certain" for case in found.cases)
