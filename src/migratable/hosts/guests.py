"""The guests of this host: libvirt's domains, and plain QEMU processes with their QMP sockets.

Only reads: ``/proc``, and ``virsh`` with commands that read.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from migratable.commandline import CommandLine, parse
from migratable.errors import CommandLineError, HostError
from migratable.printable import quoted

URIS = ("qemu:///system", "qemu:///session")
_PROGRAM = re.compile(r"qemu-system-[a-z0-9_]+|qemu-kvm|kvm")
_STARTER_WORDS = 8
"""A starter (``ld.so`` with its options) has fewer words before the program's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostGuest:
    """A guest that runs on this host.

    :ivar kind: ``libvirt`` or ``qemu``.
    :ivar uri: of its libvirt.
    :ivar argv: its live command line, as ``/proc`` has it; empty when that cannot be read.
    :ivar qmp: path of a QMP socket that its command line opens; empty without one.
    :ivar problem: why it cannot be captured as it is, or empty.
    """

    name: str
    kind: str
    pid: int = 0
    uri: str = ""
    argv: tuple[str, ...] = ()
    qmp: str = ""
    problem: str = ""

    @property
    def live(self) -> str:
        """What ``capture`` calls it."""
        return f"libvirt:{self.name}" if self.kind == "libvirt" else f"qmp:{self.qmp}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A QEMU process."""

    pid: int
    argv: tuple[str, ...]
    line: CommandLine

    @property
    def name(self) -> str:
        """What ``-name`` says; empty without one."""
        found = self.line.get("name", "guest")
        if found is None:
            first = [(option.value or "").partition(",")[0] for option in self.line.all("name")]
            found = next((value for value in first if "=" not in value), "")
        return found


def guests(uri: str = "") -> list[HostGuest]:
    """All guests that run here and can be seen by this user."""
    processes = list(_processes())
    found: list[HostGuest] = []
    for one in (uri,) if uri else URIS:
        found += [_domain(name, one, processes) for name in _domains(one)]
    taken = {guest.pid for guest in found}
    return found + [
        _plain(process)
        for process in processes
        if process.pid not in taken and not _is_libvirts(process)
    ]


def find(name: str, uri: str = "") -> HostGuest:
    """The guest that is called so.

    :param name: libvirt's name, QEMU's ``-name``, or the path of a QMP socket.
    :raise HostError: when there is none, or there are several; with what there is.
    """
    if name.startswith("/"):
        return _by_socket(name)
    every = guests(uri)
    found = [guest for guest in every if guest.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        pids = ", ".join(str(guest.pid) for guest in found)
        raise HostError(
            f"several guests are called {quoted(name)} (processes {pids}); name a QMP socket"
        )
    there = ", ".join(sorted(guest.name for guest in every if guest.name)[:20])
    raise HostError(
        f"no running guest {quoted(name)}; "
        + (f"there are: {there}" if there else "none is visible (root sees all: --sudo)")
    )


def virsh(uri: str, *words: str, text: str | None = None, seconds: float = 20.0) -> str:
    """What a command of virsh prints.

    :raise HostError: when it fails, with its words.
    """
    program = shutil.which("virsh")
    if program is None:
        raise HostError("virsh is not on this host (Debian: libvirt-clients)")
    words = (program, "--quiet", *(("--connect", uri) if uri else ()), *words)
    try:
        done = subprocess.run(
            words,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HostError(f"virsh {words[-1]}: no answer in {seconds:g} s") from None
    if done.returncode != 0:
        lines = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.strip()]
        raise HostError("virsh: " + ("; ".join(lines) or f"status {done.returncode}"))
    return done.stdout


def definition(guest: HostGuest) -> dict[str, Any]:
    """What is known of it, for the other side."""
    found: dict[str, Any] = {
        "name": guest.name,
        "kind": guest.kind,
        "pid": guest.pid,
        "uri": guest.uri,
        "argv": list(guest.argv),
        "qmp": guest.qmp,
        "problem": guest.problem,
    }
    if guest.kind == "libvirt":
        with contextlib.suppress(HostError):
            found["xml"] = virsh(guest.uri, "dumpxml", "--domain", guest.name)
            found["migratable_xml"] = virsh(
                guest.uri, "dumpxml", "--migratable", "--domain", guest.name
            )
    return found


def program_of(argv: Sequence[str]) -> tuple[str, ...]:
    """The words of *argv* that start the program; the first alone when none is QEMU's."""
    for place, word in enumerate(argv[:_STARTER_WORDS]):
        if _PROGRAM.fullmatch(word.rpartition("/")[2]):
            return tuple(argv[: place + 1])
    return tuple(argv[:1])


def is_program(name: str) -> bool:
    """Is it what a program of QEMU is called?"""
    return _PROGRAM.fullmatch(name) is not None


def may_be_program(name: str) -> bool:
    """Is it what a starter of QEMU may be called (``qemu-wrapper``), and no other program?"""
    return "qemu" in name or "kvm" in name


def line_of(argv: Sequence[str]) -> CommandLine:
    """A process's command line; its starter is the program's first words.

    :raise CommandLineError: when it cannot be read.
    """
    program = program_of(argv)
    line = parse([program[-1], *argv[len(program) :]])
    return replace(line, program=program)


def _processes() -> Iterator[Process]:
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            data = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        argv = [os.fsdecode(word) for word in data.removesuffix(b"\0").split(b"\0")]
        words = argv[:_STARTER_WORDS]
        if not any(_PROGRAM.fullmatch(word.rpartition("/")[2]) for word in words):
            continue
        if not _PROGRAM.fullmatch(argv[0].rpartition("/")[2]) and "ld-linux" not in argv[0]:
            continue  # a shell, an editor, sudo: not QEMU itself
        try:
            line = line_of(argv)
        except CommandLineError:
            continue
        if _is_inert(line):
            continue
        yield Process(pid=int(folder.name), argv=tuple(argv), line=line)


def _is_inert(line: CommandLine) -> bool:
    """One of ours, for somebody's profile or rehearsal."""
    return any("id=migratable-qmp" in (option.value or "") for option in line.all("chardev"))


def _is_libvirts(process: Process) -> bool:
    return (process.line.get("name", "guest") is not None) and any(
        "id=charmonitor" in (option.value or "") for option in process.line.all("chardev")
    )


def _domains(uri: str) -> list[str]:
    if shutil.which("virsh") is None:
        return []
    if (
        uri == URIS[0]
        and not Path("/run/libvirt").is_dir()
        and not Path("/var/run/libvirt").is_dir()
    ):
        return []
    if uri == URIS[1] and not _has_session():
        return []  # asking would start one
    try:
        text = virsh(uri, "list", "--name")
    except HostError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def _has_session() -> bool:
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
    return (Path(runtime) / "libvirt").is_dir()


def _domain(name: str, uri: str, processes: Sequence[Process]) -> HostGuest:
    mine = [process for process in processes if process.name == name and _is_libvirts(process)]
    process = mine[0] if len(mine) == 1 else None
    return HostGuest(
        name=name,
        kind="libvirt",
        uri=uri,
        pid=0 if process is None else process.pid,
        argv=() if process is None else process.argv,
    )


def _plain(process: Process) -> HostGuest:
    sockets = list(qmp_sockets(process.line, process.pid))
    usable = [path for path in sockets if Path(path).exists()]
    problem = ""
    if not sockets:
        problem = "it has no QMP socket; start it with -qmp unix:PATH,server=on,wait=off"
    elif not usable:
        problem = f"its QMP socket {sockets[0]} is not visible here (a container's?)"
    return HostGuest(
        name=process.name,
        kind="qemu",
        pid=process.pid,
        argv=process.argv,
        qmp=(usable or [""])[-1],
        problem=problem,
    )


def _by_socket(path: str) -> HostGuest:
    for process in _processes():
        if path in qmp_sockets(process.line, process.pid):
            return replace(_plain(process), qmp=path, problem="")
    if not Path(path).is_socket():
        raise HostError(f"{path} is not a socket on this host")
    raise HostError(
        f"{path}: no QEMU process that this user can see has this socket in its command line; "
        "use --sudo"
    )


def qmp_sockets(line: CommandLine, pid: int) -> Iterator[str]:
    """Paths of its QMP servers, in the order of the command line."""
    for option in line.all("qmp"):
        value = option.value or ""
        if value.startswith("unix:"):
            yield _absolute(value.removeprefix("unix:").partition(",")[0], pid)
    for option in line.all("mon"):
        fields = option.fields
        if fields.get("mode") not in {"control", "qmp"}:
            continue
        wanted = fields.get("chardev")
        for chardev in line.all("chardev"):
            fields = chardev.fields
            path = fields.get("path")
            if fields.get("id") != wanted or not path or fields.get("server", "off") == "off":
                continue  # a client's (Proxmox: qmeventd)
            yield _absolute(path, pid)


def _absolute(path: str, pid: int) -> str:
    if path.startswith("/"):
        return path
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink() / path)
    except OSError:
        return path
