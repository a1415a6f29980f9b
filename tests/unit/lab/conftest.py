"""A lab of its own for every test, and parts to build a pretended release from."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

SAYS_VERSION = """\
#!/bin/sh
for word in "$@"; do
    [ "$word" = --version ] && { echo "QEMU emulator version %s (Debian %s)"; exit; }
done
echo "pid $$"
env | grep -E '^(QEMU_MODULE_DIR|GIO_MODULE_DIR|GCONV_PATH|LD_[A-Z_]*)=' | sort
printf '<%%s>\\n' "$@"
"""


@pytest.fixture
def own_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty lab, whose name a shell would take apart, and no QEMU on PATH."""
    lab = tmp_path / "it's a \t*lab* & more"
    monkeypatch.setenv("MIGRATABLE_LAB", str(lab))
    tools = tmp_path / "no-qemu"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    if list(Path("/usr/bin").glob("qemu-system-*")):
        pytest.skip("this machine has a QEMU in /usr/bin, which this test must not find")
    return lab


def elf(interpreter: str = "/lib64/ld-pretended.so.2", *, order: str = "<") -> bytes:
    """The head of an ELF program that asks for *interpreter*."""
    name = interpreter.encode() + b"\0"
    ident = b"\x7fELF\x02" + (b"\x01" if order == "<" else b"\x02") + bytes(10)
    header = struct.pack(f"{order}HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack(f"{order}IIQQQQQQ", 1, 5, 0, 0, 0, 4096, 4096, 4096)
    interp = struct.pack(f"{order}IIQQQQQQ", 3, 4, 176, 176, 176, len(name), len(name), 1)
    return ident + header + load + interp + name


@pytest.fixture
def tree() -> Callable[..., Path]:
    """Build an unpacked release: its "loader" is a script that says what it was given."""

    def build(
        root: Path,
        *,
        version: str = "10.0.13",
        package: str = "1:10.0.13+ds-0",
        programs: tuple[str, ...] = ("x86_64", "ppc64"),
        merged: bool = True,
    ) -> Path:
        libraries = root / ("usr/lib" if merged else "lib") / "x86_64-linux-gnu"
        for folder in (libraries, root / "usr/bin", root / "usr/share/qemu"):
            folder.mkdir(parents=True, exist_ok=True)
        loader = libraries / "ld-2.31.so"
        loader.write_text(SAYS_VERSION % (version, package))
        loader.chmod(0o755)
        (libraries / "libc.so.6").touch()
        links = root / ("usr/lib64" if merged else "lib64")
        links.mkdir(exist_ok=True)
        # As in Debian 11: an absolute link, which outside a chroot leads to the machine's.
        where = "/" + str(loader.relative_to(root)) if not merged else None
        link = links / "ld-pretended.so.2"
        link.unlink(missing_ok=True)
        link.symlink_to(where or "../lib/x86_64-linux-gnu/ld-2.31.so")
        for program in programs:
            (root / "usr/bin" / f"qemu-system-{program}").write_bytes(elf())
        return root

    return build
