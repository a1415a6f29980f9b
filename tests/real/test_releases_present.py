"""Continuous integration must not pass because there was nothing to be judged by."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, releases, shared

PACKAGES = REPOSITORY / "tools/ci-packages.txt"

pytestmark = pytest.mark.skipif(
    os.environ.get("CI", "").lower() not in ("true", "1"),
    reason="only continuous integration (CI=true) insists",
)


def programs(file: Path) -> list[str]:
    """Programs that continuous integration installs, from the table of Debian packages."""
    rows = (line.split() for line in file.read_text("utf-8").splitlines())
    return [row[1] for row in rows if row and not row[0].startswith("#")]


def test_ci_has_three_releases() -> None:
    there = sorted(name for name, archs in releases().items() if {"x86_64", "ppc64"} <= set(archs))
    assert len(there) >= 3, f"fewer than three QEMU releases with both targets are there: {there}"


def test_ci_has_the_shared_facts() -> None:
    assert shared() is not None, "the folder shared/ beside the checkout is absent"


@pytest.mark.parametrize("program", programs(PACKAGES))
def test_ci_has_the_programs_that_tests_drive(program: str) -> None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    assert shutil.which(program, path=path), f"{program} is not installed; see {PACKAGES.name}"
