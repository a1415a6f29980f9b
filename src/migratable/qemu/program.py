"""The program of a command line: its path, and the release that it reports."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from migratable.commandline import CommandLine
from migratable.errors import CommandLineError
from migratable.printable import quoted
from migratable.qemu import program_facts
from migratable.qemu.launch import answers
from migratable.releases import QemuVersion

SANDBOX = (
    "-sandbox",
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
)
"""QEMU's own filter of system calls: it starts nothing and changes no rights."""
_SANDBOXED = "\nsandbox"
_silent: set[Path] = set()
"""Programs that did not say what they are, in the life of this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A resolved destination program.

    :ivar command: words that start it.
    """

    command: tuple[str, ...]


def resolve(line: CommandLine, *, release: str | None = None) -> Program:
    """Find the program of a command line.

    :param release: a lab release to use in the place of the line's own program.
    :raise CommandLineError: When it is nowhere, with what to do.
    """
    name = line.program[0] if line.program else ""
    if name.startswith("lab:"):
        release, name = name.removeprefix("lab:"), ""
    if release is not None:
        return Program(command=tuple(_lab_command(line, release, name)))
    path = shutil.which(name)
    if path is None and name in {"qemu-kvm", "kvm"} and Path("/usr/libexec/qemu-kvm").exists():
        path = "/usr/libexec/qemu-kvm"
    base = name.rpartition("/")[2]
    if path is None and "/" in name and base.startswith("qemu-system-"):
        path = shutil.which(base)  # the destination's path, the same program here
    if path is None and base in {"kvm", "kvm-spice", "qemu-kvm"}:
        path = shutil.which("qemu-system-" + (_guess_target(line) or "x86_64"))
    if path is None:
        raise CommandLineError(
            f"no program {quoted(name)} here; name the destination's QEMU by its path, or use "
            "a lab release (--release 10.0, or lab:10.0 in its place)"
        )
    return Program(command=(path, *line.program[1:]))


def _guess_target(line: CommandLine) -> str:
    machine = line.machine or ""
    if machine.startswith("pseries"):
        return "ppc64"
    return "x86_64" if machine.startswith(("pc", "q35")) else ""


def _lab_command(line: CommandLine, release: str, name: str) -> list[str]:
    from migratable.lab import find  # noqa: PLC0415 -- the lab is for those who use it

    match = re.search(r"qemu-system-([a-z0-9_]+)", name)
    release, _, target = release.partition("/")
    target = target or (match[1] if match else _guess_target(line) or "x86_64")
    return list(find(release, target).command)


def was_started(command: Sequence[str]) -> bool:
    """Has the user started this very program file before, named in a command line of theirs?"""
    return _kept_release(command).is_file()


def _kept_release(command: Sequence[str]) -> Path:
    return program_facts.path(command, ".about")


def program_release(command: Sequence[str], *, timeout: float = 20.0) -> QemuVersion | None:
    """Ask a program for its release; the answer is kept for each program file.

    :return: None when it does not say in time; its start will tell why.
    """
    with contextlib.suppress(ValueError):
        return QemuVersion.parse(_about(tuple(command), timeout))
    return None


def has_sandbox(command: Sequence[str], *, timeout: float = 20.0) -> bool:
    """Was the program built with seccomp, for ``-sandbox``?"""
    return _about(tuple(command), timeout).endswith(_SANDBOXED)


def has_tcg(command: Sequence[str], *, timeout: float = 20.0) -> bool:
    """Was the program built with TCG? Fedora, RHEL and Debian have some that were not.

    True for one that does not say, so that its own words at the start tell.
    """
    path = program_facts.path(command, ".accelerators")
    with contextlib.suppress(OSError, ValueError):
        return "tcg" in path.read_text(encoding="utf-8").split()
    try:
        said = answers([*command, "-accel", "help"], timeout=timeout, limit=4096)
    except (OSError, ValueError):
        return True
    if said.status or "Accelerators" not in said.stdout:
        return True
    with contextlib.suppress(OSError):  # no cache is no failure
        program_facts.keep(path, said.stdout.encode())
    return "tcg" in said.stdout.split()


def _about(command: tuple[str, ...], timeout: float) -> str:
    """The first line of ``--version``, and whether it takes ``-sandbox``; empty without one."""
    path = _kept_release(command)
    with contextlib.suppress(OSError, ValueError):
        return path.read_text(encoding="utf-8")
    if path in _silent:
        return ""
    try:
        said = answers([*command, *SANDBOX, "--version"], timeout=timeout, limit=4096)
        more = _SANDBOXED
        if said.status:
            said, more = answers([*command, "--version"], timeout=timeout, limit=4096), ""
        QemuVersion.parse(said.stdout)
    except (OSError, ValueError):
        _silent.add(path)
        return ""
    text = said.stdout.splitlines()[0] + more
    with contextlib.suppress(OSError):  # no cache is no failure
        program_facts.keep(path, text.encode())
    return text
