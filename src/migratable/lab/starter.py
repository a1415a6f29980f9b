r"""How an unpacked QEMU is started: with its own loader, libraries, modules and firmware.

An unpacked tree is not a chroot: QEMU runs in the machine's file system, sees the machine's /dev,
sockets and images, and has only its code from the tree. Four things make that work:

* the program interpreter (``ld.so``) of the tree is started with ``--library-path``, so that no
  library of the machine is mixed with those of the tree, and ``--inhibit-cache``, so that the
  machine's ``ld.so.cache`` is not looked at;
* ``QEMU_MODULE_DIR`` names the folder with QEMU's own loadable modules (util/module.c
  ``module_load_qom``; QEMU 5.2 of Debian has none);
* ``-L``, given once per folder, names the firmware. QEMU's own relocation (util/cutils.c
  ``get_relocated_path``) would look beside ``ld.so``;
* ``GIO_MODULE_DIR`` and ``GCONV_PATH`` keep GLib and libc from loading the machine's plug-ins.

The interpreter is what the program's ELF header asks for. Its symbolic links are followed *inside*
the tree: in Debian 11 ``/lib64/ld-linux-x86-64.so.2`` is an absolute link.
"""

from __future__ import annotations

import shlex
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from migratable.errors import LabError

_FIRMWARE = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")
_PT_INTERP = 3
_LINKS = 40  # as the kernel's MAXSYMLINKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What starts a program: words before the user's own, and variables of the environment."""

    words: tuple[str, ...]
    environment: Mapping[str, str]

    def moved(self, old: Path, new: Path) -> Start:
        """Say how it is started when its folder *old* has been renamed to *new*."""

        def there(text: str) -> str:
            return text.replace(f"{old}/", f"{new}/")

        return Start(
            words=tuple(map(there, self.words)),
            environment={name: there(value) for name, value in self.environment.items()},
        )

    def script(self, comment: str) -> str:
        """Write a shell script that becomes the program: ``exec`` keeps the process id.

        No word is seen by the shell unquoted, and the caller's arguments are passed by ``"$@"``.
        """
        lines = ["#!/bin/sh", *(f"# {line}" for line in comment.splitlines())]
        # A preloaded library of this machine would run with another libc.
        lines.append("unset LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT")
        lines += [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        lines.append("exec " + " ".join(map(shlex.quote, self.words)) + ' "$@"')
        return "\n".join(lines) + "\n"


def start(root: Path, program: str) -> Start:
    """Say how *program* (``qemu-system-x86_64``) of the tree at *root* is started.

    :raise LabError: when the tree does not have it, or it is not a program of a known form.
    """
    path = _program(root, program)
    loader = resolve(root, interpreter(path))
    words = [str(loader), "--inhibit-cache", "--library-path", ":".join(_libraries(root))]
    words.append(str(path))
    for folder in _FIRMWARE:
        if (root / folder).is_dir():
            words += ["-L", str(root / folder)]
    environment = {}
    for name, pattern in (
        ("QEMU_MODULE_DIR", "usr/lib/*-linux-gnu*/qemu"),
        ("GIO_MODULE_DIR", "usr/lib/*-linux-gnu*/gio/modules"),
        ("GCONV_PATH", "usr/lib/*-linux-gnu*/gconv"),
    ):
        folders = sorted(folder for folder in root.glob(pattern) if folder.is_dir())
        # Missing folders are named too, so that QEMU does not search the machine's own.
        fallback = root / pattern.replace("*-linux-gnu*", "none")
        environment[name] = str(folders[0] if folders else fallback)
    return Start(words=tuple(words), environment=environment)


def _program(root: Path, program: str) -> Path:
    """Find the program proper: 7.2's qemu-system-i386 is a script that would start one elsewhere.

    Its name is kept, as QEMU puts it before its messages.
    """
    for folder in ("usr/bin", "usr/libexec"):
        path = root / folder / program
        if path.exists():
            with path.open("rb") as file:
                if file.read(2) != b"#!":
                    return path
    raise LabError(f"{program} is not in the packages that were unpacked in {root}")


def interpreter(program: Path) -> str:
    """Read the path of the program interpreter from an ELF file (PT_INTERP, System V ABI).

    :raise LabError: when the file is no 64-bit ELF program with an interpreter.
    """
    with program.open("rb") as file:
        head = file.read(4096)
    try:
        if head[:5] != b"\x7fELF\x02" or head[5] not in (1, 2):
            raise LabError(f"{program} is not a 64-bit ELF program")
        order = "<" if head[5] == 1 else ">"
        (table,) = struct.unpack_from(f"{order}Q", head, 32)
        size, count = struct.unpack_from(f"{order}HH", head, 54)
        for index in range(count):
            kind, _, offset, _, _, length = struct.unpack_from(
                f"{order}IIQQQQ", head, table + index * size
            )
            if kind == _PT_INTERP:
                with program.open("rb") as file:
                    file.seek(offset)
                    return file.read(min(length, 4096)).rstrip(b"\0").decode()
    except (struct.error, UnicodeDecodeError, IndexError, OverflowError) as error:
        raise LabError(f"{program} is damaged: {error}") from error
    raise LabError(f"{program} names no program interpreter")


def resolve(root: Path, path: str) -> Path:
    """Follow *path* and its symbolic links as if *root* were ``/``.

    Packages from before Debian merged /usr (5.2, 7.2) and after it differ in where ``/lib`` is; a
    path that begins with a folder missing at the root is looked for under ``/usr`` too.

    :raise LabError: when nothing is there, or the links go in a circle.
    """
    todo = list(reversed(PurePosixPath(path).parts[1:]))
    done: list[str] = []
    links = 0
    while todo:
        part = todo.pop()
        if part == "..":
            del done[-1:]
            continue
        if not done and not (root / part).exists() and (root / "usr" / part).exists():
            done.append("usr")
        here = root.joinpath(*done, part)
        if here.is_symlink():
            links += 1
            if links > _LINKS:
                raise LabError(f"too many symbolic links at {path} in {root}")
            target = PurePosixPath(here.readlink())
            parts = target.parts
            if target.is_absolute():
                done, parts = [], parts[1:]
            todo += reversed(parts)
        elif here.exists():
            done.append(part)
        else:
            raise LabError(f"{path} is missing in {root}; the packages were unpacked incompletely")
    return root.joinpath(*done)


def _libraries(root: Path) -> list[str]:
    """Folders of the tree with shared libraries that programs find by name."""
    candidates: list[Path] = []
    for base in (root / "lib", root / "usr/lib"):
        if not base.is_symlink():
            folders = sorted(base.glob("*-linux-gnu*"))
            candidates += [*folders, *(folder / "pulseaudio" for folder in folders), base]
    return [
        str(folder)
        for folder in candidates
        if folder.is_dir() and next(folder.glob("lib*.so*"), None) is not None
    ]
