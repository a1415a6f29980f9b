"""By what a program is known in the cache of facts about programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from migratable.qemu.vmstate_dump import identity


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
