"""The releases' names are in one place: all else takes them from there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from migratable.lab.releases import NAMES

LISTED = re.compile(r'\W+"?'.join(re.escape(name) for name in NAMES))


def test_the_makefile_installs_all_of_them(repository: Path) -> None:
    done = subprocess.run(
        ["make", "-n", "lab"], cwd=repository, capture_output=True, text=True, check=True
    )
    assert f"--allow-expired {' '.join(NAMES)} --arch" in done.stdout


def test_no_code_lists_them_again(repository: Path) -> None:
    paths = [path for part in ("src", "tools") for path in (repository / part).rglob("*.py")]
    lists = []
    for path in paths:
        for line in path.read_text("utf-8").splitlines():
            code = line.partition("#")[0]
            if LISTED.search(code) and re.search(r"[=(\[]", code) and '"5.2"' in code:
                lists.append(f"{path.relative_to(repository)}: {line.strip()}")
    assert lists == []
