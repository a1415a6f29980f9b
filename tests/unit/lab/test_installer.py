"""The whole of an installation, with packages that are made here and an apt that fetches those."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from migratable.errors import LabError
from migratable.lab import find, installer, store
from migratable.lab.apt import Apt, Package, Progress
from migratable.lab.installer import install, lock, remove
from tests.absent import absent

Tree = Callable[..., Path]

if shutil.which("dpkg-deb") is None:
    absent("dpkg-deb is not on this machine")


class Mirror:
    """A pretended mirror: package files by name, and which version a suite has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.candidates: dict[str, str] = {}
        self.until: str | None = None
        self.fails: BaseException | None = None

    def put(self, name: str, version: str, content: Path) -> None:
        (content / "DEBIAN").mkdir()
        (content / "DEBIAN/control").write_text(
            f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
            f"Maintainer: a test <a@test.example>\nDescription: x\n"
        )
        file = self.folder / f"{name}_{version.replace(':', '%3a')}_all.deb"
        command = ["dpkg-deb", "--root-owner-group", "-b", str(content), str(file)]
        subprocess.run(command, check=True, capture_output=True)
        self.candidates[name] = version


@pytest.fixture
def mirror(tmp_path: Path, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """A mirror with two packages, in apt's place."""
    made = Mirror(tmp_path / "mirror")
    made.folder.mkdir()
    both = ("x86_64", "i386"), ("ppc64", "ppc")
    for name, programs in zip(("qemu-system-x86", "qemu-system-ppc"), both, strict=True):
        made.put(name, "1:10.0.13+ds-0", tree(tmp_path / name, programs=programs))

    def update(self: Apt, progress: Progress) -> str | None:
        progress(1.0, "lists")
        return made.until

    def resolve(self: Apt, packages: Sequence[str]) -> list[Package]:
        return [
            Package(
                name=path.name.partition("_")[0],
                version="1:10.0.13+ds-0",
                file=path.name,
                size=path.stat().st_size,
                uri=f"http://m.example/{path.name}",
            )
            for path in sorted(made.folder.iterdir())
            if path.name.partition("_")[0] in packages
        ]

    def fetch(self: Apt, packages: Sequence[str], progress: Progress) -> None:
        for package in resolve(self, packages):
            shutil.copy(made.folder / package.file, self.archives)
            progress(0.5, package.name)
            if made.fails is not None:
                raise made.fails

    monkeypatch.setattr(Apt, "update", update)
    monkeypatch.setattr(Apt, "resolve", resolve)
    monkeypatch.setattr(Apt, "fetch", fetch)
    monkeypatch.setattr(Apt, "candidate", lambda self, name: made.candidates.get(name))
    return made


def _install(spec: str = "10.0", **more: object) -> list[store.Installed]:
    keyring = Path(__file__)  # only looked at by the real apt
    return install(spec, mirror="http://m.example/debian", keyring=keyring, **more)  # type: ignore[arg-type]


def test_installed_and_found(own_lab: Path, mirror: Mirror) -> None:
    found = _install()
    assert sorted(one.arch for one in found) == ["i386", "ppc", "ppc64", "x86_64"]
    one = find("10.0", "ppc64")
    assert one in found
    done = subprocess.run([*one.command, "-M", "it's"], capture_output=True, text=True, check=True)
    assert "<-M>\n<it's>" in done.stdout
    assert str(own_lab / "releases/10.0/root") in done.stdout
    assert "staging" not in done.stdout
    assert sorted(path.name for path in own_lab.iterdir()) == ["apt", "lock", "releases"]


def test_manifest(own_lab: Path, mirror: Mirror) -> None:
    warnings: list[str] = []
    mirror.until = "Fri, 06 Nov 2020 08:08:01 UTC"
    _install(warn=warnings.append)
    data = json.loads((own_lab / "releases/10.0/manifest.json").read_text())
    assert (data["release"], data["suite"], data["version"]) == ("10.0", "trixie", "10.0.13")
    assert data["expired"] == mirror.until
    assert mirror.until in warnings[0]
    for package in data["packages"]:
        content = (mirror.folder / package["file"]).read_bytes()
        assert package["sha256"] == hashlib.sha256(content).hexdigest()
        assert package["size"] == len(content)
    assert [package["name"] for package in data["packages"]] == [
        "qemu-system-ppc",
        "qemu-system-x86",
    ]


def test_progress_goes_from_nothing_to_all(own_lab: Path, mirror: Mirror) -> None:
    shares: list[float] = []
    _install(progress=lambda share, words: shares.append(share))
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)


def test_packages_can_be_kept(own_lab: Path, mirror: Mirror) -> None:
    _install()
    assert not (own_lab / "apt/10.0/archives").exists()
    _install(keep_packages=True)
    assert len(list((own_lab / "apt/10.0/archives").glob("*.deb"))) == 2


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), SystemExit(143), LabError("no network")])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_an_interruption_loses_nothing(
    own_lab: Path, mirror: Mirror, stop: BaseException, share: float
) -> None:
    """Before, while fetching or unpacking, and after: what was installed works."""
    _install()
    before = (own_lab / "releases/10.0/manifest.json").read_text()

    def interrupt(done: float, words: str) -> None:
        if done >= share:
            raise stop

    with pytest.raises(type(stop)):
        _install(progress=interrupt)
    assert (own_lab / "releases/10.0/manifest.json").read_text() == before
    assert subprocess.run([*find("10.0").command, "--version"], check=False).returncode == 0
    assert list((own_lab / "apt/10.0/archives").glob("*.deb")), "what was fetched is kept"
    _install()
    assert not (own_lab / "staging").exists()


def test_a_replacement_that_was_killed_half_way_is_undone(own_lab: Path, mirror: Mirror) -> None:
    _install()
    (own_lab / "replaced").mkdir()
    (own_lab / "releases/10.0").rename(own_lab / "replaced/10.0")
    with pytest.raises(LabError, match="is not a QEMU release"):
        remove("none")
    with pytest.raises(LabError, match="forky has no security updates"):
        _install("11.1", security=True)
    assert subprocess.run([*find("10.0").command, "--version"], check=False).returncode == 0
    assert not (own_lab / "replaced").exists()


def test_a_first_installation_that_is_interrupted_is_not_there(
    own_lab: Path, mirror: Mirror
) -> None:
    mirror.fails = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        _install()
    assert store.installed(system=False) == []
    mirror.fails = None
    assert _install()


def test_a_suite_that_moved_on(own_lab: Path, mirror: Mirror) -> None:
    mirror.candidates["qemu-system-x86"] = "1:10.1.2+ds-1"
    with pytest.raises(LabError, match=r"no longer has QEMU 10\.0: trixie has 1:10\.1\.2\+ds-1"):
        _install()
    assert _install("10.0=sid", architectures=["ppc64"])


def test_a_package_that_is_not_there(own_lab: Path, mirror: Mirror) -> None:
    del mirror.candidates["qemu-system-ppc"]
    with pytest.raises(LabError, match="trixie has no package qemu-system-ppc"):
        _install()
    with pytest.raises(LabError, match="trixie has no package qxl"):
        _install(architectures=["x86_64"], extra=["qxl"])
    with pytest.raises(LabError, match="no package is known for qemu-system-vax"):
        _install(architectures=["vax"])


def test_a_program_that_does_not_start_is_not_installed(
    own_lab: Path, mirror: Mirror, tmp_path: Path
) -> None:
    broken = tmp_path / "broken/usr/lib/x86_64-linux-gnu"
    broken.mkdir(parents=True)
    (broken / "ld-2.31.so").write_text("#!/bin/sh\necho libpixman is missing >&2; exit 127\n")
    (broken / "ld-2.31.so").chmod(0o755)
    mirror.put("zz-last", "1", tmp_path / "broken")
    with pytest.raises(LabError, match="does not start: libpixman is missing"):
        _install(extra=["zz-last"])
    assert store.installed(system=False) == []


def test_a_damaged_package(own_lab: Path, mirror: Mirror) -> None:
    for path in mirror.folder.glob("qemu-system-x86*"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(LabError, match=r"qemu-system-x86.* cannot be unpacked"):
        _install()


def test_one_at_a_time(own_lab: Path, mirror: Mirror) -> None:
    code = """
import sys
from migratable.lab.installer import lock
from migratable.lab import folder
with lock(folder()):
    print(flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(LabError, match=f"process {other.pid} is changing the lab"):
            _install()
        (own_lab / "releases/10.0").mkdir(parents=True)
        with pytest.raises(LabError, match="is changing the lab"):
            remove("10.0")
        other.kill()
        other.wait()
    assert _install()


def test_remove(own_lab: Path, mirror: Mirror) -> None:
    _install()
    assert remove("10.0")
    assert not remove("10.0")
    assert store.installed(system=False) == []
    assert not list((own_lab / "apt").iterdir())
    for wrong in ("..", "", "10.0/../10.0"):
        with pytest.raises(LabError, match="is not a QEMU release"):
            remove(wrong)


def test_folders_that_cannot_be_used(
    mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a:b", "a;b", 'a"b', "a$b", "a\\b"):
        monkeypatch.setenv("MIGRATABLE_LAB", str(tmp_path / name))
        with pytest.raises(LabError, match="put it elsewhere with MIGRATABLE_LAB"):
            _install()
        assert not (tmp_path / name).exists()
    (tmp_path / "file").touch()
    monkeypatch.setenv("MIGRATABLE_LAB", str(tmp_path / "file/lab"))
    with pytest.raises(LabError, match="cannot be written"):
        _install()


def test_a_machine_without_a_mirror(
    own_lab: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    def configured(*command: str) -> str:
        if command[0] == "apt-config":
            return "LIST='/nowhere'\nPARTS='/nowhere.d'\n"
        return "amd64\n"

    monkeypatch.setattr(installer, "output", configured)
    with pytest.raises(LabError, match=r"names no mirror of Debian; name one .*--mirror URL"):
        install("10.0")


def test_security_updates(own_lab: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabError, match="forky has no security updates"):
        _install("11.1", security=True)
    with pytest.raises(LabError, match="names no mirror of Debian's security updates"):
        _install(security=True)


def test_lock_is_given_back(own_lab: Path) -> None:
    with lock(own_lab):
        pass
    with lock(own_lab):
        pass
