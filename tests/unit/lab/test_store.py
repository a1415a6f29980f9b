from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from migratable.errors import LabError
from migratable.lab import find, folder, installed, store
from migratable.releases import QemuVersion
from tests.unit.lab.conftest import SAYS_VERSION


def _manifest(lab: Path, release: str, version: str, *programs: str, **more: Any) -> Path:
    here = lab / "releases" / release
    here.mkdir(parents=True)
    data = {
        "schema": store.SCHEMA,
        "folder": str(here),
        "version": version,
        "programs": {program: f"bin/qemu-system-{program}" for program in programs},
        **more,
    }
    (here / "manifest.json").write_text(json.dumps(data))
    return here


def _on_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arch: str, version: str, name: str = "x"
) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"qemu-system-{arch}"
    path.write_text(SAYS_VERSION % (version, "1:x"))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return path


def test_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MIGRATABLE_LAB", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert folder() == tmp_path / "migratable/lab"
    monkeypatch.setenv("MIGRATABLE_LAB", "relative")
    assert folder().is_absolute()


def test_nothing_there(own_lab: Path) -> None:
    assert installed() == []
    with pytest.raises(LabError, match=r"get it with `migratable lab install 10\.0`"):
        find("10.0", "ppc64")
    with pytest.raises(LabError, match="no qemu-system-ppc64 on PATH"):
        find("system", "ppc64")
    with pytest.raises(LabError, match="no QEMU version in 'new'"):
        find("new")


def test_found(own_lab: Path) -> None:
    _manifest(own_lab, "10.0", "10.0.13", "ppc64", "x86_64")
    _manifest(own_lab, "5.2", "5.2", "x86_64")
    one = find("10.0", "ppc64")
    assert one.path == own_lab / "releases/10.0/bin/qemu-system-ppc64"
    assert one.version == QemuVersion(10, 0, 13)
    assert find("10.0.13", "ppc64") == one
    assert find("5.2.0").release == "5.2"
    assert [(one.release, one.arch) for one in installed()] == [
        ("5.2", "x86_64"),
        ("10.0", "ppc64"),
        ("10.0", "x86_64"),
    ]
    assert [one.release for one in installed(arch="ppc64")] == ["10.0"]


def test_the_wrong_one_is_not_found(own_lab: Path) -> None:
    _manifest(own_lab, "10.0", "10.0.13", "x86_64")
    with pytest.raises(LabError, match=r"10\.0\.2 is not installed; the lab has 10\.0\.13"):
        find("10.0.2")
    with pytest.raises(LabError, match=r"lab install 10\.0 --arch ppc64"):
        find("10.0", "ppc64")


def test_this_machines_own(own_lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _on_path(tmp_path / "bin", monkeypatch, "x86_64", "10.0.2")
    _manifest(own_lab, "7.2", "7.2.22", "x86_64")
    assert find("system").command == [str(path)]
    assert find("10.0").origin == "system"
    assert find("10.0").version == QemuVersion(10, 0, 2)
    assert [one.release for one in installed()] == ["7.2", "10.0"]
    assert [one.release for one in installed(system=False)] == ["7.2"]
    _manifest(own_lab, "10.0", "10.0.13", "x86_64")
    assert find("10.0").origin == "lab"
    assert find("10.0.2").origin == "system"


def test_a_broken_program_of_this_machine_is_none(
    own_lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _on_path(tmp_path / "bin", monkeypatch, "x86_64", "10.0.2")
    path.write_text("#!/bin/sh\necho wrong libc >&2; exit 127\n")
    assert installed() == []
    with pytest.raises(LabError, match="does not start: wrong libc"):
        store.version_of(str(path))
    path.write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(LabError, match="no QEMU version in 'hello"):
        store.version_of(str(path), 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ("{}", "damaged"),
        ('{"schema": "migratable.lab/99"}', "another version of this program"),
        (
            '{"schema": "migratable.lab/1", "folder": "/old", "version": "1.0", "programs": {}}',
            "was moved from /old",
        ),
        (
            '{"schema": "migratable.lab/1", "folder": "/old", "version": "x", "programs": {}}',
            "damaged",
        ),
        (
            '{"schema": "migratable.lab/1", "folder": "/old", "version": "1.0", "programs": 3}',
            "damaged",
        ),
    ],
)
def test_a_manifest_that_cannot_be_used(own_lab: Path, text: str, message: str) -> None:
    here = own_lab / "releases/10.0"
    here.mkdir(parents=True)
    (here / "manifest.json").write_text(text)
    with pytest.raises(LabError, match=f"{message}.*lab install 10.0"):
        find("10.0")
