"""What docs/how-to/install.md says works: the wheel, the one-file program, pipx and uv."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from migratable import __version__
from migratable.profile import bundled
from tests.absent import absent
from tests.unit.hosts.test_old_python import old_pythons

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def dist(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``make dist``, elsewhere."""
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, str(repository / "tools/dist.py"), str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def _run(words: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    variables = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    variables["PATH"] = os.environ.get("PATH", "")
    return subprocess.run(words, capture_output=True, text=True, check=False, env=variables)


@pytest.mark.parametrize("which", ["this", "3.9", "3.10"])
def test_one_file(which: str, dist: Path, tmp_path: Path) -> None:
    pythons = {"this": sys.executable}
    pythons |= {one: path for path in old_pythons() for one in [_number(path)]}
    if which not in pythons:
        pytest.skip(f"Python {which} is not on this machine")
    program = [pythons[which], str(dist / "migratable.pyz")]
    assert _run([*program, "--version"], tmp_path).stdout.split()[-1] == __version__
    guest, name = bundled.FOLDER / "guest-q35.mig.gz", "q35-11.1-queue-size"
    done = _run([*program, "check", str(guest), "--to", name], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "LOADS" in done.stdout
    # One version is kept, and the second run finds it.
    (kept,) = list((tmp_path / "cache/migratable/pyz").iterdir())
    before = kept.stat().st_ctime_ns
    _run([*program, "--version"], tmp_path)
    assert [path.stat().st_ctime_ns for path in kept.parent.iterdir()] == [before]


def _number(path: str) -> str:
    words = [path, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def test_one_file_where_nothing_can_be_written(dist: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    done = _run([sys.executable, str(dist / "migratable.pyz"), "--version"], tmp_path)
    assert done.returncode != 0
    assert "cannot unpack into" in done.stderr
    assert "MIGRATABLE_CACHE" in done.stderr


def test_one_file_is_always_the_same(dist: Path, repository: Path, tmp_path: Path) -> None:
    words = [sys.executable, str(repository / "tools/dist.py"), str(tmp_path)]
    subprocess.run(words, capture_output=True, check=True)
    assert (tmp_path / "migratable.pyz").read_bytes() == (dist / "migratable.pyz").read_bytes()


@pytest.mark.parametrize("tool", ["pipx", "uv"])
def test_tools_install_the_wheel(tool: str, dist: Path, tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name(tool)  # uv is one of the packages that CI installs
    program = str(beside) if beside.exists() else shutil.which(tool)
    if program is None:
        absent(f"{tool} is not on this machine")
    (wheel,) = dist.glob("*.whl")
    words = [program, "install", str(wheel)] if tool == "pipx" else [program, "tool", "install"]
    variables = {
        **os.environ,
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "bin"),
        "UV_TOOL_DIR": str(tmp_path / "uv"),
        "UV_TOOL_BIN_DIR": str(tmp_path / "bin"),
    }
    if tool == "uv":
        words.append(str(wheel))
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=variables)
    assert done.returncode == 0, done.stderr
    said = subprocess.run(
        [str(tmp_path / "bin/migratable"), "--version"], capture_output=True, text=True, check=True
    )
    assert said.stdout.split()[-1] == __version__
