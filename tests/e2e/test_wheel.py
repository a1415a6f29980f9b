"""What is installed on other machines has all that the checkout has."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_package(repository: Path, tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    subprocess.run([*build, str(tmp_path), str(repository)], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    command = ["git", "-C", str(repository), "ls-files", "src"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")
    if not any(listed):
        pytest.skip("this is no git checkout")
    tracked = {name.removeprefix("src/") for name in listed if (repository / name).is_file()}
    assert len(tracked) > 20
    assert tracked - names == set()
