"""Make what is handed to users, in ``dist/``: the wheel and ``migratable.pyz``.

The latter needs no installation and runs under Python 3.9 and newer.

    python tools/dist.py [FOLDER]

The one file holds the package and the pure-Python form of what it needs. Its bytes depend on the
sources and on the versions in requirements/pyz.lock alone.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib import resources
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
LOCK = REPOSITORY / "requirements" / "pyz.lock"
OLDEST = "3.9"
_STAMP = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = (".so", ".pyd", ".pyc")


def wheel(folder: Path) -> Path:
    """Build the wheel into *folder*."""
    words = [*_pip(), "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir"]
    for old in folder.glob("migratable-*.whl"):
        old.unlink()
    subprocess.run([*words, str(folder), str(REPOSITORY)], check=True)
    (found,) = folder.glob("migratable-*.whl")
    return found


def pyz(wheel_file: Path, target: Path) -> None:
    """Build the one file out of the wheel and its dependencies."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [*_pip(), "install", "--quiet", "--no-deps", "--no-compile", "--target", name]
        words += ["--only-binary", ":all:", "--python-version", OLDEST]
        subprocess.run([*words, "--requirement", str(LOCK)], check=True)
        with zipfile.ZipFile(wheel_file) as archive:
            archive.extractall(folder)
        reader = folder / "before-3.11" / "tomllib"
        reader.mkdir(parents=True)
        for one in resources.files("tomllib").iterdir():
            if one.name.endswith(".py"):
                (reader / one.name).write_bytes(one.read_bytes())
        shutil.copy(REPOSITORY / "tools" / "pyz_main.py", folder / "__main__.py")
        shutil.rmtree(folder / "bin", ignore_errors=True)
        _write(folder, target)


def _write(folder: Path, target: Path) -> None:
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.suffix not in _LEFT_OUT and path.name != "RECORD"
    )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    partial = target.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            archive.writestr(_entry("DIGEST"), digest.hexdigest()[:32] + "\n")
            for path in files:
                archive.writestr(
                    _entry(str(path.relative_to(folder))), path.read_bytes(), zipfile.ZIP_DEFLATED
                )
    partial.chmod(0o755)
    partial.replace(target)


def _entry(name: str) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name, _STAMP)
    found.external_attr = 0o644 << 16
    return found


def _pip() -> list[str]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]


def main() -> None:
    """Make both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=REPOSITORY / "dist")
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    made = wheel(folder)
    pyz(made, folder / "migratable.pyz")
    print(made)
    print(folder / "migratable.pyz")


if __name__ == "__main__":
    main()
