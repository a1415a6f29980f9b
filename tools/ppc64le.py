"""See that everything the program needs installs on a ppc64le host without a compiler.

Asks pip, with the machine's own configuration, for wheels for that platform; nothing is installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PLATFORMS = ("manylinux2014_ppc64le", "manylinux_2_17_ppc64le", "manylinux_2_28_ppc64le")
PYTHONS = ("3.11", "3.12", "3.13")


def main() -> None:
    """Try each Python release; end with 1 if one of them lacks a wheel."""
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    wanted = [*project["dependencies"], *project.get("optional-dependencies", {}).get("zstd", [])]
    failed = False
    for python in PYTHONS:
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
            words += ["--only-binary=:all:", "--python-version", python, "--dest", folder]
            words += [word for name in PLATFORMS for word in ("--platform", name)]
            done = subprocess.run([*words, *wanted], check=False)
            wheels = sorted(path.name for path in Path(folder).iterdir())
        print(
            f"Python {python}: {'ok' if done.returncode == 0 else 'MISSING'}, {len(wheels)} wheels"
        )
        failed |= done.returncode != 0
    sys.exit(failed)


if __name__ == "__main__":
    main()
