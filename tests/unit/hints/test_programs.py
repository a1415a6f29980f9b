"""The program of the other width, from the folder of the user's own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from migratable.commandline import parse
from migratable.hints import programs


@pytest.mark.parametrize(("mode", "tried"), [(0o755, True), (0o777, False)])
def test_only_one_that_nobody_else_put_there(mode: int, tried: bool, tmp_path: Path) -> None:
    folder = tmp_path / "qemu"
    folder.mkdir()
    for name in ("qemu-system-x86_64", "qemu-system-i386"):
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)
    folder.chmod(mode)
    line = parse([str(folder / "qemu-system-x86_64"), "-M", "pc"])
    at: Any = SimpleNamespace(line=line, profile=SimpleNamespace(target="x86_64"), release=None)
    found = list(programs.candidates(cast("Any", at)))
    assert [one.edit is not None for one in found] == ([True] if tried else [])
