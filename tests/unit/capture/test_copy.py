"""How a running program is started again: the same file, its variables, and nobody else's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from migratable.capture.copy import started
from migratable.errors import NoCopyError


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program of this user that sleeps, in a folder of its own."""
    path = tmp_path / "bin" / "qemu-system-none"
    path.parent.mkdir(mode=0o700)
    sleep = shutil.which("sleep")
    assert sleep is not None
    shutil.copy(sleep, path)
    path.chmod(0o700)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The private folder."""
    path = tmp_path / "private"
    path.mkdir(mode=0o700)
    return path


def executed(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of its exec: until then the kernel shows no command line."""
    while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
        pass


@pytest.fixture
def process(program: Path) -> Iterator[subprocess.Popen[bytes]]:
    """It runs."""
    with subprocess.Popen([program, "60"], env={"PATH": os.environ["PATH"]}) as found:
        executed(found)
        yield found
        found.kill()


def test_the_same_file(program: Path, folder: Path, process: subprocess.Popen[bytes]) -> None:
    found = started(process.pid, folder)
    assert found.command == (str(program),)
    assert found.argv == (str(program), "60")
    assert list(folder.iterdir()) == []


def test_replaced_since_its_start(
    program: Path, folder: Path, process: subprocess.Popen[bytes]
) -> None:
    content = program.read_bytes()
    program.unlink()
    program.write_text("another release")
    (command,) = started(process.pid, folder).command
    assert Path(command) == folder / program.name
    assert Path(command).read_bytes() == content


def test_variables_that_say_where_its_parts_are(program: Path, folder: Path) -> None:
    modules = program.parent / "it's"
    modules.mkdir()
    environment = {"QEMU_MODULE_DIR": str(modules), "SECRET": "x", "LC_ALL": "C"}
    with subprocess.Popen([program, "60"], env=environment) as process:
        try:
            executed(process)
            (starter,) = started(process.pid, folder).command
        finally:
            process.kill()
    assert Path(starter).parent == folder
    text = Path(starter).read_text()
    assert "QEMU_MODULE_DIR" in text
    assert "SECRET" not in text
    done = subprocess.run([starter, "0"], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_program_that_others_can_write(
    program: Path, folder: Path, process: subprocess.Popen[bytes]
) -> None:
    program.chmod(0o777)
    with pytest.raises(NoCopyError, match="can be written by users other"):
        started(process.pid, folder)


def test_process_that_is_gone(folder: Path) -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(NoCopyError, match="cannot be inspected"):
        started(process.pid, folder)
