"""What is installed, and where: the lab's folder, its manifests, and the machine's own QEMU.

::

    LAB/                         MIGRATABLE_LAB, or the user's cache folder
      lock                       held by the one process that installs or removes
      apt/RELEASE/               package lists, and packages while they are being fetched
      staging/RELEASE/           a release being unpacked; becomes the next one by a rename
      releases/RELEASE/
        manifest.json            what is here, from where, with checksums
        bin/qemu-system-TARGET   starters
        root/                    the unpacked packages

A release is there when its manifest is; everything else is left over from an interruption.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from migratable import paths
from migratable.errors import LabError
from migratable.lab.releases import is_release
from migratable.releases import QemuVersion, release_of

SCHEMA = "migratable.lab/1"
SYSTEM = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A QEMU program that can be started.

    :ivar release: major and minor number, ``"10.0"``.
    :ivar arch: QEMU's target name, ``"ppc64"``.
    :ivar version: exact version, as the program itself says it.
    :ivar command: words that start it; the process becomes QEMU itself (same process id).
    :ivar origin: ``"lab"`` or ``"system"`` (a program on the machine's PATH).
    """

    release: str
    arch: str
    version: QemuVersion
    command: list[str]
    origin: str = "lab"

    @property
    def path(self) -> Path:
        """The file that is started."""
        return Path(self.command[0])


folder = paths.lab


def manifest(release: str, *, lab: Path | None = None) -> dict[str, Any] | None:
    """Read the manifest of an installed release, None when it is not installed.

    :raise LabError: when it is damaged, or the folder was moved since (starters hold its path).
    """
    here = (lab or folder()) / "releases" / release
    try:
        text = (here / "manifest.json").read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"{here / 'manifest.json'} cannot be read: {error}") from error
    remedy = f"install it again: migratable lab install {release}"
    try:
        document = json.loads(text)
        if document["schema"] != SCHEMA:
            raise LabError(f"{here} was made by another version of this program; {remedy}")
        moved = document["folder"] != str(here)
        QemuVersion.parse(document["version"])
        dict(document["programs"])
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"{here / 'manifest.json'} is damaged ({error}); {remedy}") from error
    if moved:
        raise LabError(f"{here} was moved from {document['folder']}; {remedy}")
    assert isinstance(document, dict)
    return document


def names(*, lab: Path | None = None) -> list[str]:
    """Names of the releases in the lab, oldest first."""
    base = (lab or folder()) / "releases"
    found = [path.parent.name for path in base.glob("*/manifest.json")]
    return sorted(filter(is_release, found), key=release_of)


def installed(*, arch: str | None = None, system: bool = True) -> list[Installed]:
    """List all installed programs, oldest release first.

    :param arch: only this target.
    :param system: also the machine's own programs, after the lab's of the same release.
    :raise LabError: when a manifest is damaged.
    """
    found: list[Installed | None] = []
    for name in names():
        data = manifest(name)
        found += [_in_lab(name, target) for target in data["programs"]] if data else []
    if system:
        found += [_system(path) for path in _system_programs()]
    kept = [one for one in found if one is not None and arch in (None, one.arch)]
    return sorted(kept, key=lambda one: (release_of(one.release), one.origin))


def find(release: str, arch: str = "x86_64") -> Installed:
    """Find a QEMU program: in the lab, else on ``PATH`` if it is of that release.

    :param release: ``"10.0"``; ``"10.0.13"`` for exactly that one; ``"system"`` for the machine's
        own, whatever its release.
    :param arch: QEMU's target name: ``x86_64``, ``ppc64``, ``aarch64``, …
    :raise LabError: when it is not there; the message says how to get it.
    """
    own = shutil.which(f"qemu-system-{arch}")
    machine = _system(Path(own)) if own else None
    if release == SYSTEM:
        if machine is None:
            raise LabError(f"there is no qemu-system-{arch} on PATH")
        return machine
    try:
        wanted = QemuVersion.parse(release)
    except ValueError as error:
        raise LabError(str(error)) from None
    name = f"{wanted.major}.{wanted.minor}"
    lab = _in_lab(name, arch)
    for one in (lab, machine):
        if one is not None and (one.version == wanted or (one.release == release == name)):
            return one
    if lab is not None:
        raise LabError(f"QEMU {release} is not installed; the lab has {lab.version}")
    if manifest(name) is not None:
        raise LabError(
            f"the lab's QEMU {name} has no qemu-system-{arch}; get it with "
            f"`migratable lab install {name} --arch {arch}`"
        )
    raise LabError(f"QEMU {release} is not installed; get it with `migratable lab install {name}`")


def _in_lab(release: str, arch: str) -> Installed | None:
    data = manifest(release)
    if data is None or arch not in data["programs"]:
        return None
    return Installed(
        release=release,
        arch=arch,
        version=replace(QemuVersion.parse(data["version"]), package=data.get("package", "")),
        command=[str(Path(data["folder"]) / data["programs"][arch])],
    )


def _system_programs() -> list[Path]:
    found: dict[str, Path] = {}
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        for path in sorted(Path(entry or ".").glob("qemu-system-*")):
            if os.access(path, os.X_OK) and path.is_file():
                found.setdefault(path.name, path)
    return list(found.values())


def _system(path: Path) -> Installed | None:
    arch = path.name.removeprefix("qemu-system-")
    try:
        version = version_of(str(path.absolute()), path.stat().st_mtime_ns)
    except (LabError, OSError):  # a broken program of the machine is no program
        return None
    return Installed(
        release=f"{version.major}.{version.minor}",
        arch=arch,
        version=version,
        command=[str(path.absolute())],
        origin=SYSTEM,
    )


@functools.cache
def version_of(command: str, _changed: int = 0) -> QemuVersion:
    """Ask a program for its version.

    :raise LabError: when it does not start, with its own words, or says no version.
    """
    try:
        done = subprocess.run(
            [command, "--version"],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LabError(f"{command} does not start: {error}") from error
    if done.returncode != 0:
        words = done.stderr.strip() or f"exit status {done.returncode}"
        raise LabError(f"{command} does not start: {words}")
    try:
        return QemuVersion.parse(done.stdout)
    except ValueError as error:
        raise LabError(f"{command} does not start: {error}") from error
