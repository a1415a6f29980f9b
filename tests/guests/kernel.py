"""Fetch a kernel with its modules, and busybox, through the machine's own apt."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from migratable.errors import LabError
from migratable.lab import folder, sources
from migratable.lab.apt import Apt, explain, output, tool

SUITES = {
    "x86_64": ("amd64", "trixie", "linux-image-amd64"),
    "ppc64": ("ppc64el", "bookworm", "linux-image-powerpc64le"),
}
"""By QEMU target: Debian's architecture, suite, and the package that names the kernel's. Linux
before 6.2 has no USO in virtio-net, so x86 is not taken from bookworm."""


def guests_folder() -> Path:
    """Everything that is made here, beside the QEMU releases."""
    return folder() / "guests"


class _ForeignApt(Apt):
    """The lab's apt for another architecture; single packages, without what they depend on."""

    def __init__(self, base: Path, text: str, architecture: str) -> None:
        self._architecture = architecture
        super().__init__(base, text)

    def _configuration(self) -> str:
        return (
            super()._configuration()
            + f'APT::Architecture "{self._architecture}";\n#clear APT::Architectures;\n'
            + f'APT::Architectures "{self._architecture}";\n'
        )

    def depends(self, package: str) -> list[str]:
        return re.findall(r"Depends: (\S+)", self._output("apt-cache", "depends", package))

    def download(self, package: str) -> Path:
        """The file of one package."""
        here = self.archives
        before = set(here.glob("*.deb"))
        done = subprocess.run(
            [*self._words("apt-get"), "-q", "download", package],
            cwd=here,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        new = set(here.glob("*.deb")) - before
        if done.returncode or not new:
            raise LabError(explain(done.stderr))
        return new.pop()


def fetch(target: str) -> Path:
    """The folder with the unpacked packages of *target* (``x86_64``, ``ppc64``).

    :raise LabError: when they cannot be had.
    """
    final = guests_folder() / target / "root"
    if final.is_dir():
        return final
    architecture, suite, package = SUITES[target]
    base = guests_folder() / target / "apt"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(parents=True)
    shell = output(
        "apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"
    )
    found = sources.mirrors(sources.read(*sources.configured(shell)))
    if not found:
        raise LabError("this machine's apt configuration names no mirror of Debian")
    apt = _ForeignApt(base, sources.write(found[0], suite, base), architecture)
    apt.update(lambda share, words: None)
    kernel = next(name for name in apt.depends(package) if name.startswith("linux-image-"))
    part = final.with_name("root.partial")
    shutil.rmtree(part, ignore_errors=True)
    for name in (kernel, "busybox-static"):
        file = apt.download(name)
        subprocess.run([tool("dpkg-deb"), "--extract", str(file), str(part)], check=True)
    shutil.rmtree(base)
    part.rename(final)
    return final


def image(root: Path) -> Path:
    """The kernel itself."""
    return next(path for path in (root / "boot").iterdir() if path.name.startswith("vmlinu"))


def busybox(root: Path) -> Path:
    """The statically linked program."""
    return next(path for path in root.glob("**/bin/busybox") if path.is_file())


class Modules:
    """The kernel's modules by name; what each needs is in the module itself (``.modinfo``)."""

    def __init__(self, root: Path) -> None:
        self._files = {
            path.name.partition(".ko")[0].replace("-", "_"): path
            for path in (*root.glob("lib/modules/**/*.ko*"), *root.glob("usr/lib/modules/**/*.ko*"))
        }
        self._data: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """A module's contents, None when there is none of that name (it may be built in)."""
        path = self._files.get(name)
        if path is None:
            return None
        if name not in self._data:
            data = path.read_bytes()
            self._data[name] = lzma.decompress(data) if path.suffix == ".xz" else data
        return self._data[name]

    def load_order(self, names: list[str]) -> Iterator[tuple[str, bytes]]:
        """The modules and all that they need, each after what it needs."""
        done: set[str] = set()

        def visit(name: str) -> Iterator[tuple[str, bytes]]:
            name = name.replace("-", "_")
            data = None if name in done else self.read(name)
            done.add(name)
            if data is None:
                return
            found = re.search(rb"\0depends=([^\0]*)\0", data)
            for needed in found[1].decode().split(",") if found and found[1] else ():
                yield from visit(needed)
            yield name, data

        for name in names:
            yield from visit(name)
