"""Programs that are asked and started: what they print, their end, their confinement's seam."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import migratable
from migratable.qemu.launch import answers, launch

# Who may start processes: those that start no QEMU of ours, or (the campaign) what it is to judge.
_OTHERS = {
    "campaign/process.py",
    "capture/libvirt.py",
    "fleet/destinations.py",
    "hosts/connection.py",
    "hosts/guests.py",
    "hosts/looks.py",
    "lab/apt.py",
    "lab/installer.py",
    "lab/store.py",
    "serve/pool.py",
    "stream/containers/decompress.py",
}


def test_what_a_program_says_and_how_it_ends() -> None:
    done = answers(["sh", "-c", "echo one; echo two >&2; exit 7"], timeout=20)
    assert (done.stdout, done.stderr, done.status) == ("one\n", "two\n", 7)


def test_no_shell_sees_the_words() -> None:
    assert answers(["echo", "$(id)", "; id"], timeout=20).stdout == "$(id) ; id\n"


def test_a_program_that_does_not_end_is_ended() -> None:
    done = answers(["sh", "-c", "echo one; sleep 1000"], timeout=0.5)
    assert (done.stdout, done.status) == ("one\n", None)


def test_a_program_that_says_too_much_is_ended() -> None:
    done = answers(["yes"], timeout=20, limit=4096)
    assert done.status is None
    assert 4096 <= len(done.stdout) <= 4096 + 2 * 65536


def test_a_program_that_is_not_there() -> None:
    done = answers(["/nonexistent/qemu"], timeout=20)
    assert done.status == 127
    assert done.stderr == "migratable-launcher: /nonexistent/qemu: No such file or directory\n"


def test_nothing_of_the_hosts_display_and_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    said = answers(["env"], timeout=20).stdout.splitlines()
    assert "LC_ALL=C" in said
    assert "QEMU_AUDIO_DRV=none" in said
    assert not any(line.startswith("DISPLAY=") for line in said)


def test_it_is_in_a_session_of_its_own() -> None:
    process = launch(["sh", "-c", "ps -o sid= -p $$ || echo"], stdout=subprocess.PIPE)
    said = process.communicate(timeout=20)[0].decode().strip()
    assert said in {str(process.pid), ""}  # empty: this machine has no ps


def test_qemu_is_started_in_one_place_alone() -> None:
    root = Path(migratable.__file__).parent
    starts = re.compile(r"subprocess\.(?:run|Popen|check_output|call)\(|os\.(?:system|popen|spawn)")
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if starts.search(path.read_text("utf-8"))
    }
    assert found - _OTHERS == {"qemu/launch.py"}
