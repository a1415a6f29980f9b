"""Reports with what their explanation must be: the ``public_logs_*.toml`` beside this file."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

from migratable.explain.explanation import Report
from migratable.explain.story import explain


def reports(name: str) -> list[dict[str, Any]]:
    """The reports of a file: ``name``, ``log``, and what :func:`compare` holds against them."""
    text = (Path(__file__).parent / f"{name}.toml").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = tomllib.loads(text)["failure"]
    return found


def explained(log: str) -> Report:
    """A log, explained as a file with a newline at its end."""
    return explain(io.BytesIO((log.rstrip("\n") + "\n").encode()))


def compare(report: dict[str, Any]) -> None:
    """Hold the first failure of a report's log against the members that the report has.

    ``message``, ``status``, ``rule``, ``side`` are its own, ``exit`` is the program's status;
    ``words`` stand in the answer, ``without`` do not, ``fix`` stands in the remedy and ``absent``
    does not. ``status`` "none": there is no failure, and a line is shown as unknown. With
    ``absent`` the log is one failure.
    """
    told = explained(report["log"])
    if "exit" in report:
        assert told.exit_status == report["exit"]
    if report.get("status") == "none":
        assert not told.explanations
        assert told.suspicious
        return
    if "absent" in report:
        assert len(told.explanations) == 1
    found = told.explanations[0]
    known = {
        "message": found.message,
        "status": str(found.status),
        "rule": found.rule or "",
        "side": str(found.side),
    }
    for member, value in known.items():
        if member in report:
            assert (member, value) == (member, report[member])
    said = " ".join((found.meaning, found.now, *found.details, *(c.title for c in found.cases)))
    assert [word for word in report.get("words", ()) if word not in said] == []
    assert [word for word in report.get("without", ()) if word in said] == []
    assert [word for word in report.get("absent", ()) if word in found.now] == []
    assert report.get("fix", "").lower() in found.now.lower()
    assert "{" not in found.meaning
