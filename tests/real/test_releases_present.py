"""Continuous integration must not pass because there was nothing to be judged by."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from migratable.lab.releases import RELEASES
from tests.absent import IN_CI
from tests.conftest import REPOSITORY, releases, shared

TARGETS = {"x86_64", "ppc64", "aarch64", "arm", "s390x", "riscv64"}
"""Those that the tests use: the Makefile's ARCHS, and arm, which comes with aarch64."""
PACKAGES = REPOSITORY / "tools/ci-packages.txt"

pytestmark = pytest.mark.skipif(not IN_CI, reason="only continuous integration (CI=true) insists")


def programs(file: Path) -> list[str]:
    """Programs that continuous integration installs, from the table of Debian packages."""
    rows = (line.split() for line in file.read_text("utf-8").splitlines())
    return [row[1] for row in rows if row and not row[0].startswith("#")]


def test_ci_has_all_releases() -> None:
    there = releases()
    missing = {one.name: TARGETS - set(there.get(one.name, ())) for one in RELEASES}
    assert {name: targets for name, targets in missing.items() if targets} == {}


def test_ci_has_the_shared_facts() -> None:
    assert shared() is not None, "the folder shared/ beside the checkout is absent"


@pytest.mark.parametrize("program", programs(PACKAGES))
def test_ci_has_the_programs_that_tests_drive(program: str) -> None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    found = Path(program).exists() if "/" in program else shutil.which(program, path=path)
    assert found, f"{program} is not installed; see {PACKAGES.name}"
