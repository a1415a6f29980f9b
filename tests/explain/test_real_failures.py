"""Every public failure must be explained: rule, side and what matters."""

from __future__ import annotations

import io
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from migratable.explain.story import explain

FAILURES: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "real_failures.toml").read_text(encoding="utf-8")
)["failure"]


@pytest.mark.parametrize("failure", FAILURES, ids=[item["ref"] for item in FAILURES])
def test_explained(failure: dict[str, Any]) -> None:
    report = explain(io.BytesIO(failure["log"].encode()))
    assert len(report.explanations) == 1, [item.line for item in report.explanations]
    found = report.explanations[0]
    assert str(found.status) == failure.get("status", "explained")
    assert report.exit_status == 0
    if "rule" in failure:
        assert found.rule == failure["rule"]
    if "side" in failure:
        assert str(found.side) == failure["side"]
    said = found.to_json()
    del said["lines"], said["line"], said["unknown_lines"]
    text = json.dumps(said, ensure_ascii=False)
    for word in failure["words"]:
        assert word in text, word
    for word in failure.get("not_words", ()):
        assert word not in text, word
    assert found.now
    assert found.prevent
