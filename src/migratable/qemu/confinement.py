"""The files that a program needs, and the confinement that it got.

The kernel enforces it in :mod:`migratable.qemu.confine`; here it is said what a program is to see:
its own installation, the machine's libraries and firmware, and the files that its command line
names, all read-only.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import shutil
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from migratable.members import members, read
from migratable.regular_file import open_regular

_SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/alternatives"),
    *("/etc/qemu", "/etc/qemu-kvm", "/etc/localtime", "/etc/gnutls", "/etc/crypto-policies"),
    *("/sys/devices/system", "/sys/kernel/mm/transparent_hugepage", "/sys/kernel/mm/hugepages"),
)
_STORES = ("/nix/store", "/gnu/store", "/run/current-system")
_SHARED = frozenset({"/", "/home", "/root", "/tmp", "/var", "/var/tmp", "/srv", "/mnt", "/opt"})
"""Folders whose contents are not one installation."""
_PATH = re.compile(rb"/[^\s\"':$;|&()<>]+")
_HEAD = 65536
_MISSING = re.compile(
    r"error while loading shared|cannot open shared|No such file|not found|Permission denied"
    r"|[Cc]ould not (?:load|open|find|read|get)|cannot (?:load|open|find)"
    r"|[Ff]ailed to (?:load|open)"
)
SEPARATOR = "\1"
MARK = "migratable-confinement: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """How a program was confined.

    :ivar namespaces: that it has of its own.
    :ivar view: what it sees of the file system: ``needed files``, ``all, read-only``, ``as it is``.
    :ivar landlock: the version of Landlock, 0 for none.
    :ivar seccomp: is the filter of system calls on?
    :ivar sandbox: was QEMU's own ``-sandbox`` on?
    :ivar missing: what could not be had, and why, in words.
    """

    namespaces: tuple[str, ...] = ()
    view: str = "as it is"
    landlock: int = 0
    seccomp: bool = False
    sandbox: bool = False
    missing: tuple[str, ...] = field(default_factory=tuple)

    @classmethod
    def read(cls, lines: Iterable[str], *, sandbox: bool = False) -> Confinement | None:
        """Take it from what the launcher said; None when it said nothing."""
        for line in lines:
            if line.startswith(MARK):
                return read(cls, json.loads(line.removeprefix(MARK)), sandbox=sandbox)
        return None

    def to_json(self) -> dict[str, Any]:
        """For reports: the member ``confinement``."""
        return members(self)


def specification(
    command: Sequence[str],
    *,
    files: Iterable[str] = (),
    whole: bool = False,
    runs_others: bool = False,
    taps: bool = False,
    kvm: bool = False,
) -> str:
    """What the launcher is told (``confine.main``).

    :param command: words that start the program, the first of them a path.
    :param files: that the command line names, to be read.
    :param whole: it sees all of the file system, read-only: for a program that needs what is not
        known here.
    :param runs_others: it runs programs that are not known here: a starter that looks around.
    :param taps: it makes network interfaces in its own network namespace.
    :param kvm: it uses ``/dev/kvm``.
    """
    program = _program_of(command)
    words = ["confine", *(["taps"] if taps else []), *([] if program.plain else ["root"])]
    words += [f"read={one}" for one in (["/"] if whole else [*program.folders, *files])]
    words += [f"run={one}" for one in (["/"] if runs_others else program.run)]
    words += ["device=/dev/kvm"] if kvm else []
    words += ["device=/dev/net/tun"] if taps else []
    return SEPARATOR.join(word for word in words if SEPARATOR not in word)


def needs_more(lines: Iterable[str]) -> bool:
    """May a program have ended because it did not see a file?"""
    return any(_MISSING.search(line) for line in lines)


def needs_programs(lines: Iterable[str]) -> bool:
    """May a starter have ended because it could not run another program?

    QEMU itself runs none; its words about an option (``-device …: Property … not found``) repeat
    what the command line has there.
    """
    return any(
        ("Permission denied" in line or "not found" in line) and _OPTION.match(line) is None
        for line in lines
    )


_OPTION = re.compile(r"(?:[^\s:]*(?:qemu|kvm)[^\s:]*: )?-[A-Za-z]")


_LOADER = re.compile(r"ld(-linux\S*|-musl\S*|-\d[\d.]*|64|)\.so(\.\d+)*")
_WITH_VALUE = frozenset({"--library-path", "--preload", "--audit", "--argv0", "--inhibit-rpath"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Program:
    """A program's files.

    :ivar folders: that it needs to see.
    :ivar run: files that are executed until it is itself: starters, their interpreters, loaders.
    :ivar plain: everyone may read and run them.
    """

    folders: tuple[str, ...]
    run: tuple[str, ...]
    plain: bool


def _program_of(command: Sequence[str]) -> _Program:
    """The program's files, and those of ``env`` and the loader where they start it."""
    programs, paths = starters(command)
    found = [_program(name) for name in programs]
    return _Program(
        folders=tuple(
            dict.fromkeys([*(folder for part in found for folder in part.folders), *paths])
        ),
        run=tuple(dict.fromkeys(one for part in found for one in part.run)),
        plain=all(part.plain for part in found),
    )


def starters(command: Sequence[str]) -> tuple[list[str], list[str]]:
    """Programs that run one after the other until the last is QEMU, and folders that they name.

    ``env NAME=VALUE… PROGRAM``, and the dynamic loader with its options before a program, as
    :func:`migratable.capture.copy.started` finds a process that was started so.
    """
    words = list(command) or ["/"]
    programs, paths = [words.pop(0)], []
    if programs[0].rpartition("/")[2] == "env":
        while words and "=" in words[0]:
            paths += words.pop(0).partition("=")[2].split(":")
        if words:
            programs.append(words.pop(0))
    if _LOADER.fullmatch(programs[-1].rpartition("/")[2]):
        while words and words[0].startswith("--"):
            if words.pop(0) in _WITH_VALUE and words:
                paths += words.pop(0).split(":")
        if words:
            programs.append(words.pop(0))
    return programs, [path for path in paths if path.startswith("/") and os.path.lexists(path)]


@functools.cache
def _program(name: str) -> _Program:
    path = name if "/" in name else shutil.which(name) or name
    run: dict[str, None] = {}
    _chain(os.path.abspath(path), run, 0)
    folders = [one for one in _SYSTEM if os.path.lexists(one)]
    if platform.machine().startswith("ppc"):
        folders.append("/sys/firmware")
    for one in run:
        folders += [store for store in _STORES if one.startswith(store)]
        folders += [folder for folder in _installation(one) if folder not in folders]
    plain = True
    for one in run:
        try:
            found = os.stat(one)
        except OSError:
            continue
        wanted = stat.S_IROTH | stat.S_IXOTH
        plain = plain and (found.st_uid == 0 or found.st_mode & wanted == wanted)
    return _Program(folders=tuple(folders), run=tuple(run), plain=plain)


def _installation(path: str) -> list[str]:
    """The folder of the installation that a program is in: ``PREFIX`` of ``PREFIX/bin/qemu``."""
    folder = os.path.dirname(path)
    prefix = os.path.dirname(folder)
    shared = {*_SHARED, os.path.expanduser("~")}
    if prefix not in shared:
        return [prefix]
    return [path] if folder in shared else [folder]


def _chain(path: str, run: dict[str, None], depth: int) -> None:
    """Add a program and all that is executed before it is itself."""
    if depth > 6 or path in run:
        return
    real = os.path.realpath(path)
    try:
        with open_regular(real) as file:
            head = file.read(_HEAD)
    except OSError:
        return
    run[path] = None
    run[real] = None
    if head[:4] == b"\x7fELF":
        if interpreter := _interpreter(head):
            _chain(interpreter, run, depth + 1)
        return
    if head[:2] != b"#!":
        return
    for found in dict.fromkeys(_PATH.findall(head)):
        other = os.fsdecode(found)
        if os.path.isfile(other) and os.access(other, os.X_OK):
            _chain(other, run, depth + 1)


def _interpreter(head: bytes) -> str | None:
    """The program interpreter in an ELF file's first bytes (``PT_INTERP``)."""
    match = re.search(rb"/[\w./-]*ld[\w.-]*\.so[\w.-]*\0", head)
    return os.fsdecode(match[0][:-1]) if match else None
