"""What runs on hosts runs under Python 3.9 and 3.10."""

from __future__ import annotations

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest

from migratable.hosts.bundle import bundle

# One process: what is unpacked and looked through for them is that for all of them.
pytestmark = pytest.mark.xdist_group("old-python")
_IMPORT_ALL = """
import os, sys, importlib
folder = sys.argv[1]
sys.path.insert(0, folder)
if sys.version_info < (3, 11):
    sys.path.append(folder + "/before-3.11")
from migratable import compat
compat.install()
skipped = ("launcher.py", "launch.py", "tpm_stand_in.py", "bootstrap.py", "__main__.py")
for root, _, files in os.walk(folder + "/migratable"):
    for name in sorted(files):
        if name.endswith(".py") and name not in skipped:
            path = os.path.relpath(os.path.join(root, name), folder)[:-3]
            importlib.import_module(path.replace("/", ".").removesuffix(".__init__"))
from migratable.verdict import Hint, Outcome, Side
from dataclasses import replace
hint = Hint(action="x", needs_guest_restart=True)
assert hint.side is Side.DESTINATION and hint.command is None
assert replace(hint, action="y").action == "y" and replace(hint, action="y") != hint
assert f"{Outcome.LOADS}" == "loads"
try:
    Hint()
except TypeError as error:
    assert "action" in str(error)
else:
    raise AssertionError("a member without a value")
from migratable.messages import text
print(len(sys.modules), sys.version.split()[0])
"""


@cache
def _interpreter(number: str) -> str | None:
    places = [shutil.which(f"python{number}") or ""]
    root = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
    places += [str(one / "bin/python3") for one in Path(root, "versions").glob(f"{number}.*")]
    usable = (one for one in places if one and Path(one).exists() and _runs(one, number))
    return next(usable, None)


def old_pythons() -> list[str]:
    """Interpreters older than the package's own that are on this machine."""
    return [found for number in ("3.9", "3.10") if (found := _interpreter(number))]


def old_python(number: str) -> str:
    """One of that release; the test is skipped without."""
    return _interpreter(number) or pytest.skip(f"Python {number} is not on this machine")


def _runs(path: str, number: str) -> bool:
    words = [path, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout.strip() == number


@cache
def used_names(folder: Path) -> list[tuple[str, str]]:
    return sorted({name for path in (folder / "migratable").rglob("*.py") for name in _used(path)})


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    zipfile.ZipFile(io.BytesIO(bundle().data)).extractall(folder)
    return folder


def test_syntax_is_that_of_3_9(unpacked: Path) -> None:
    paths = list(unpacked.rglob("*.py"))
    assert len(paths) > 100
    for path in paths:
        ast.parse(path.read_text(encoding="utf-8"), filename=str(path), feature_version=(3, 9))


@pytest.mark.parametrize("number", ["3.9", "3.10"])
def test_every_module_is_imported_by(number: str, unpacked: Path) -> None:
    words = [old_python(number), "-I", "-B", "-c", _IMPORT_ALL, str(unpacked)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1].startswith(number)


def _used(path: Path) -> set[tuple[str, str]]:
    """Names of the standard library that a file uses as ``module.name``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name: alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name.partition(".")[0] in sys.stdlib_module_names
    }
    return {
        (imported[node.value.id], node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in imported
    }


@pytest.mark.parametrize("number", ["3.9", "3.10"])
def test_every_name_of_the_standard_library_is_there_under(number: str, unpacked: Path) -> None:
    names = used_names(unpacked)
    assert ("hashlib", "file_digest") in names
    assert len(names) > 100
    code = (
        "import sys, json, importlib; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/before-3.11']\n"
        "from migratable import compat; compat.install()\n"
        "there = lambda name: hasattr(importlib.import_module(name[0]), name[1])\n"
        "print([name for name in json.load(sys.stdin) if not there(name)])"
    )
    words = [old_python(number), "-I", "-B", "-c", code, str(unpacked)]
    text = json.dumps(names)
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("number", ["3.9", "3.10"])
def test_the_launcher_starts_programs_under(number: str, unpacked: Path) -> None:
    """It runs in an interpreter of its own, confines itself and becomes the program."""
    code = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[1] + '/before-3.11']\n"
        "from migratable import compat; compat.install()\n"
        "from migratable.qemu.launch import answers\n"
        "done = answers(['echo', 'started'], timeout=60)\n"
        "print(done.stdout, done.stderr, done.status)"
    )
    words = [old_python(number), "-I", "-B", "-c", code, str(unpacked)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["started", "0"], done


def test_the_bundle_is_small_and_always_the_same() -> None:
    code = "from migratable.hosts.bundle import bundle; print(bundle().digest)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == bundle().digest
    assert len(bundle().data) < 2 << 20
    names = zipfile.ZipFile(io.BytesIO(bundle().data)).namelist()
    assert "migratable/hosts/agent.py" in names
    assert not [name for name in names if "/cli/" in name or name.endswith(".pyc")]
