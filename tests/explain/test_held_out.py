"""Public logs that the catalogue was measured with after it had been written."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import pytest

from migratable.explain.story import explain

FAILURES: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "held_out.toml").read_text(encoding="utf-8")
)["failure"]


@pytest.mark.parametrize("failure", FAILURES, ids=[item["ref"] for item in FAILURES])
def test_explained(failure: dict[str, Any]) -> None:
    report = explain(io.BytesIO(failure["log"].encode()))
    if failure["status"] == "none":
        assert not report.explanations
        assert report.suspicious
        assert report.exit_status == 3
        return
    assert len(report.explanations) == 1, [item.line for item in report.explanations]
    found = report.explanations[0]
    assert str(found.status) == failure["status"]
    # An echo alone is no cause: another line that looks like an error may be one.
    echo = failure["status"] == "symptom" and bool(report.suspicious)
    assert report.exit_status == (3 if failure["status"] == "unknown" or echo else 0)
    if "rule" in failure:
        assert found.rule == failure["rule"]
