"""What real programs said of command lines: 886 starts of 5.2, 7.2, 10.0 and 11.1, kept as golden.

Measured under TCG with ``-S -nodefaults -display none``; the long TCG warning is shortened.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from migratable.errors import CommandLineError
from migratable.pseries import release, start
from migratable.pseries.start import Starter

GOLDEN = Path(__file__).parents[2] / "golden" / "pseries"
WARNING = "warning: TCG doesn't support requested feature, "


def rows() -> list[Any]:
    found: list[Any] = json.loads((GOLDEN / "starts.json").read_text("utf-8"))
    return found


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["args"])
def test_start_is_as_in_the_real_program(row: dict[str, Any]) -> None:
    expected: list[Any] = []
    for name in ("5.2", "7.2", "10.0", "11.1"):
        if name not in row:
            continue
        expected = expected if row[name] == "same" else row[name]
        started = Starter(release(name)).start(shlex.split(row["args"]))
        shortened = [line.replace(WARNING, "TCG ") for line in started.stderr]
        assert [started.runs, shortened] == expected, name


def test_golden_rows_are_there() -> None:
    counted = [name for row in rows() for name in row if name != "args"]
    assert len(counted) > 800


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["-M", "pseries", "-device", "virtio-net"], "-device"),
        (["-M", "pseries,accel=kvm"], "kvm"),
        (["-enable-kvm"], "KVM"),
        (["-M", "virt"], "virt"),
        (["-M", "pseries,vsmt=8"], "vsmt"),
        (["-M"], "needs a value"),
        (["disk.img"], "not an option"),
    ],
)
def test_what_is_not_modelled_is_said(args: list[str], words: str) -> None:
    with pytest.raises(CommandLineError, match=words):
        start("10.0", args)


@pytest.mark.parametrize("name", ["3.1", "12.0", "9.3", "abc", ""])
def test_unknown_releases_are_refused_with_a_remedy(name: str) -> None:
    with pytest.raises(CommandLineError, match=r"4\.0|10\.0"):
        release(name)


def test_a_micro_version_is_its_release() -> None:
    assert release("10.0.13") is release("10.0")


def test_a_crash_of_qemu_is_not_predicted_line_by_line() -> None:
    """cap_vsx_apply asserts Altivec, which POWER5+ does not have (5.2 and 7.2 abort)."""
    with pytest.raises(CommandLineError, match="aborts"):
        start("7.2", ["-M", "pseries,cap-vsx=on", "-cpu", "POWER5+"])
