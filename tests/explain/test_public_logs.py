"""Public logs: the line that matters, its rule, the side at fault and the known case."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path
from typing import Any

import pytest

from migratable.explain.story import explain

FAILURES: list[dict[str, Any]] = tomllib.loads(
    (Path(__file__).parent / "public_logs.toml").read_text(encoding="utf-8")
)["failure"]


@pytest.mark.parametrize("failure", FAILURES, ids=[item["name"] for item in FAILURES])
def test_explained(failure: dict[str, Any]) -> None:
    report = explain(io.BytesIO(failure["log"].encode()))
    assert len(report.explanations) == failure.get("number", 1)
    found = report.explanations[0]
    assert str(found.status) == failure["status"]
    assert (found.message or "-") == failure["message"]
    assert (found.rule or "-") == failure["rule"]
    assert str(found.side) == failure["side"]
    if "case" in failure:
        assert failure["case"] in [case.id for case in found.cases]


def test_features_broken_inside_a_number() -> None:
    """A mail's soft line break must not shorten the mask."""
    log = (
        b"> > kvm: Features 0x1c0010130afffa7 unsupported. Allowed features: 0x10179b=\n"
        b"fffe7\n> > kvm: Failed to load virtio-net:virtio\n"
    )
    found = explain(io.BytesIO(log)).explanations[0]
    assert any("0x1c0000000000000" in text for text in found.details)


def test_harmless_remarks_about_options_are_no_failure() -> None:
    log = (
        b"qemu-system-x86_64: -chardev pty,id=charserial0: char device redirected to /dev/pts/0\n"
        b"qemu-system-x86_64: -device isa-serial: warning: this is only a remark\n"
    )
    assert not explain(io.BytesIO(log)).explanations
