"""Continuous integration must not pass because there was nothing to be judged by."""

from __future__ import annotations

import os

import pytest

from tests.conftest import releases


def test_ci_has_three_releases() -> None:
    there = sorted(name for name, archs in releases().items() if {"x86_64", "ppc64"} <= set(archs))
    if os.environ.get("CI", "").lower() not in ("true", "1"):
        pytest.skip(f"only continuous integration (CI=true) insists; there: {', '.join(there)}")
    assert len(there) >= 3, f"fewer than three QEMU releases with both targets are there: {there}"
