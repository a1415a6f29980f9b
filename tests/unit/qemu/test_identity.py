"""By what a program is known in the cache of facts about programs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from migratable.qemu.confinement import specification
from migratable.qemu.program_facts import identity


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("through_path", [True, False])
def test_a_starter_is_another_when_its_program_changes(
    through_path: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for number, folder in enumerate(folders):
        put(folder / "some-vmm", "x" * (70_000 + number))
    named = "some-vmm" if through_path else str(folders[0] / "some-vmm")
    starter = put(tmp_path / "start", f'#!/bin/sh\nexec {named} "$@"\n')
    monkeypatch.setenv("PATH", str(folders[0]))
    first = identity([str(starter)])
    assert identity([str(starter)]) == first
    if through_path:
        monkeypatch.setenv("PATH", str(folders[1]))
    else:
        put(folders[0] / "some-vmm", "y" * 80_000)
    assert identity([str(starter)]) != first


def test_a_program_that_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A profile names its program: a FIFO there would be waited for, a device read for ever."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for word in (str(fifo), "/dev/zero", str(tmp_path), "x" * 5000):
        assert identity([word])
        specification([word])
