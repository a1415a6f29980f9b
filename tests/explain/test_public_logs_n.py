"""Plain QEMU and libvirt reports: the message, and words that its answer must hold."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import pytest

from migratable.explain.story import explain

FAILURES: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "public_logs_n.toml").read_text(encoding="utf-8")
)["failure"]


@pytest.mark.parametrize("failure", FAILURES, ids=[item["name"] for item in FAILURES])
def test_explained(failure: dict[str, Any]) -> None:
    found = explain(io.BytesIO(failure["log"].encode())).explanations[0]
    assert found.message == failure["message"]
    said = " ".join((found.meaning, found.now, *found.details))
    for word in failure["words"]:
        assert word in said
    assert "{" not in found.meaning
