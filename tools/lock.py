"""Write the lock file: every package that the program and its checks need, at one version each.

It is made by installing into a fresh environment what ``pyproject.toml`` asks for and writing down
what came. It names packages and versions and nothing else: no index, no machine.

    python tools/lock.py requirements/ci.lock
    python tools/lock.py --print                # only what pyproject.toml asks for
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
HEADER = """\
# Every package that the program and its checks need. Made by `make lock`; do not edit.
"""


def requirements() -> list[str]:
    """List what ``pyproject.toml`` asks for: to run, all extras, all groups, and to build."""
    data = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    project = data["project"]
    found = list(project["dependencies"])
    for extra in project.get("optional-dependencies", {}).values():
        found += extra
    for group in data.get("dependency-groups", {}).values():
        found += [word for word in group if isinstance(word, str)]
    # hatchling asks for editables only when it makes an editable installation.
    return sorted({*found, *data["build-system"]["requires"], "editables"})


def locked(wanted: list[str]) -> list[str]:
    """Install *wanted* into a fresh environment; return ``name==version`` of all that came."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "--disable-pip-version-check", "--no-input"]
        subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
        done = subprocess.run(
            [*pip, "list", "--format=freeze", "--exclude=pip", "--exclude=setuptools"],
            check=True,
            capture_output=True,
            text=True,
        )
    lines = sorted(done.stdout.split(), key=str.lower)
    odd = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.!+_-]+", line)]
    if odd:
        sys.exit(f"not pinned: {odd}")
    return lines


def main() -> None:
    """Write the file that is named, or print what is asked for."""
    if sys.argv[1:] == ["--print"]:
        print("\n".join(requirements()))
        return
    (target,) = map(Path, sys.argv[1:])
    target.write_text(HEADER + "\n".join(locked(requirements())) + "\n", encoding="utf-8")
    print(f"{target}: {len(target.read_text(encoding='utf-8').splitlines()) - 1} packages")


if __name__ == "__main__":
    main()
