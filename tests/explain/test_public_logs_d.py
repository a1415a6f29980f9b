"""Public reports that judges explained first, both sides' logs where there are two."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import pytest

from migratable.explain.failures import scan
from migratable.explain.story import explain_together
from migratable.explain.together import Log

FAILURES: list[dict[str, Any]] = [
    failure
    for name in ("public_logs_d.toml", "public_logs_f.toml", "public_logs_i.toml")
    for failure in tomllib.loads((Path(__file__).parent / name).read_text(encoding="utf-8"))[
        "failure"
    ]
]


@pytest.mark.parametrize("failure", FAILURES, ids=[item["name"] for item in FAILURES])
def test_explained(failure: dict[str, Any]) -> None:
    logs = [
        Log(name=f"{number}.log", scan=scan(io.BytesIO(text.encode())))
        for number, text in enumerate(failure["logs"])
    ]
    report = explain_together(logs, {})
    found = report.explanations[0]
    assert (str(found.status), found.rule or "", str(found.side)) == (
        failure["status"],
        failure["rule"],
        failure["side"],
    )
    cases = " ".join(case.explanation for case in found.cases)
    said = " ".join((found.meaning, found.now, *found.details, cases))
    for word in failure["words"]:
        assert word in said
    assert not any(case.certainty == "certain" for case in found.cases)
    assert report.exit_status == failure["exit"]
