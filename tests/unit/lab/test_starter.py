from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migratable.errors import LabError
from migratable.lab.starter import Start, interpreter, resolve, start
from tests.unit.lab.conftest import elf

Tree = Callable[..., Path]


@pytest.mark.parametrize("merged", [True, False])
def test_the_loader_of_the_tree_is_started(tmp_path: Path, tree: Tree, merged: bool) -> None:
    root = tree(tmp_path / "root", merged=merged)
    found = start(root, "qemu-system-ppc64")
    assert Path(found.words[0]).name == "ld-2.31.so"
    assert Path(found.words[0]).is_relative_to(root)
    assert str(root / "usr/bin/qemu-system-ppc64") in found.words
    assert found.words[-2:] == ("-L", str(root / "usr/share/qemu"))


def test_machine_plugins_are_never_searched(tmp_path: Path, tree: Tree) -> None:
    root = tree(tmp_path)
    found = start(root, "qemu-system-ppc64").environment
    assert set(found) == {"QEMU_MODULE_DIR", "GIO_MODULE_DIR", "GCONV_PATH"}
    assert all(Path(value).is_relative_to(root) for value in found.values())
    modules = root / "usr/lib/x86_64-linux-gnu/qemu"
    modules.mkdir()
    assert start(root, "qemu-system-ppc64").environment["QEMU_MODULE_DIR"] == str(modules)


def test_firmware_folder_named_like_modules_is_not_taken_for_them(
    tmp_path: Path, tree: Tree
) -> None:
    (tree(tmp_path) / "usr/lib/ipxe/qemu").mkdir(parents=True)
    found = start(tmp_path, "qemu-system-ppc64")
    assert found.environment["QEMU_MODULE_DIR"] != str(tmp_path / "usr/lib/ipxe/qemu")
    assert found.words[-1] == str(tmp_path / "usr/lib/ipxe/qemu")


def test_a_wrapper_script_is_passed_by(tmp_path: Path, tree: Tree) -> None:
    """Debian's 7.2 has a script for qemu-system-i386 and the program in /usr/libexec."""
    root = tree(tmp_path)
    (root / "usr/bin/qemu-system-i386").write_text("#! /bin/sh\n")
    with pytest.raises(LabError, match="qemu-system-i386 is not in the packages"):
        start(root, "qemu-system-i386")
    (root / "usr/libexec").mkdir()
    (root / "usr/libexec/qemu-system-i386").write_bytes(elf())
    assert str(root / "usr/libexec/qemu-system-i386") in start(root, "qemu-system-i386").words


def _run(script: str, tmp_path: Path, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    path = tmp_path / "starter"
    path.write_text(script)
    path.chmod(0o755)
    process = subprocess.Popen(
        [path, *arguments], stdout=subprocess.PIPE, env={**os.environ, **environment}, text=True
    )
    text, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return process.pid, text.splitlines()


def test_the_process_is_the_program_and_sees_every_word(tmp_path: Path, tree: Tree) -> None:
    root = tree(tmp_path / "a 'b' \"c\" $(d) `e` \\f *")
    words = ["-drive", "file=my disk's.img,if=none", "$HOME", "", "a\nb", "*"]
    script = start(root, "qemu-system-ppc64").script("two\nlines")
    pid, lines = _run(script, tmp_path, *words, LD_PRELOAD="/nowhere.so", LD_LIBRARY_PATH="/no")
    assert lines[0] == f"pid {pid}"
    text = "\n".join(lines)
    assert text.endswith("\n".join(f"<{word}>" for word in words))
    assert f"QEMU_MODULE_DIR={root}" in text
    assert "LD_PRELOAD" not in text
    assert "LD_LIBRARY_PATH" not in text


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), max_size=4))
def test_the_shell_takes_no_word_apart(words: list[str]) -> None:
    script = Start(words=("/usr/bin/printf", "%s\\0", *words), environment={}).script("")
    done = subprocess.run(["/bin/sh", "-c", script, "sh", "last"], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == [*words, "last"]


def test_moved(tmp_path: Path, tree: Tree) -> None:
    root = tree(tmp_path / "staging/10.0/root")
    there = start(root, "qemu-system-ppc64").moved(tmp_path / "staging/10.0", tmp_path / "final")
    assert "staging" not in there.script("")
    assert there.words[0].startswith(f"{tmp_path}/final/root/")


@pytest.mark.parametrize("order", ["<", ">"])
def test_interpreter(tmp_path: Path, order: str) -> None:
    path = tmp_path / "program"
    path.write_bytes(elf("/lib/ld64.so.2", order=order))
    assert interpreter(path) == "/lib/ld64.so.2"


@given(st.binary(max_size=300), st.integers(0, 300))
def test_a_damaged_program_is_named(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, keep: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(elf()[:keep] + junk)
    try:
        assert isinstance(interpreter(path), str)
    except LabError as error:
        assert str(path) in str(error)


def test_resolve_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/real").touch()
    (tmp_path / "up").symlink_to("../../../../usr/lib/real")
    (tmp_path / "absolute").symlink_to("/usr/lib/real")
    (tmp_path / "folder").symlink_to("/usr")
    for path in ("/up", "/absolute", "/folder/lib/real", "/lib/real"):
        assert resolve(tmp_path, path) == tmp_path / "usr/lib/real", path


def test_resolve_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "round").symlink_to("about")
    (tmp_path / "about").symlink_to("round")
    with pytest.raises(LabError, match="too many symbolic links at /round"):
        resolve(tmp_path, "/round")
    with pytest.raises(LabError, match="/gone is missing"):
        resolve(tmp_path, "/gone")
