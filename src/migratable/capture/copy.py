"""An inert copy of a running VM: the same program and command line, paused, with stand-ins.

It is asked before the VM is touched. It saves itself with the very command that the VM will get:
a QEMU that crashes when it saves such a machine does so in the copy (11.1 with nvme-ns; 7.2 with
pci-serial-2x). And its tables describe the bytes that the VM writes, which say nothing of
themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from migratable.capture.guard import SAVE, Standing
from migratable.capture.monitor import Exchange, Executes, Monitor
from migratable.errors import CaptureError, MigratableError, NoCopyError, QemuError
from migratable.printable import quoted
from migratable.qemu.ownership import changeable
from migratable.qemu.process import QemuProcess, private_folder
from migratable.qemu.qmp import QmpError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migratable.profile.model import Profile

COPY_SECONDS = 60.0
_LOADER = re.compile(r"ld(-linux\S*|-musl\S*|-\d[\d.]*|64|)\.so(\.\d+)*")
"""The dynamic loader, when a program was started through it (as the lab does, and Nix)."""
_WITH_VALUE = frozenset({"--library-path", "--preload", "--audit", "--argv0", "--inhibit-rpath"})
_KEPT_VARIABLES = frozenset({"QEMU_MODULE_DIR", "LD_LIBRARY_PATH"})
"""Variables that say where a program finds its own parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """How a process was started.

    :ivar command: words that start the same program again.
    :ivar argv: its command line, the program's name first.
    """

    command: tuple[str, ...]
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What the copy told.

    :ivar profile: of the copy; its ``command_line`` is the VM's.
    :ivar unlike: devices that the VM has and the copy has not: plugged in since the start.
    """

    profile: Profile
    unlike: tuple[str, ...] = ()


def started(pid: int, folder: Path) -> Started:
    """How the process *pid* was started, from ``/proc``.

    :param folder: private; a starter is put there when the program needs more than its path, and a
        copy of a program whose file was replaced since.
    :raise NoCopyError: When it cannot be seen from here, or others could have put it there.
    """
    process = Path(f"/proc/{pid}")
    try:
        raw = (process / "cmdline").read_bytes()
        exe = str((process / "exe").readlink())
    except OSError as error:
        raise NoCopyError(
            f"process {pid} cannot be inspected ({error.strerror}); run as its user, or as root"
        ) from None
    argv = [os.fsdecode(word) for word in raw.split(b"\0")[:-1]]
    if not argv:
        raise NoCopyError(f"process {pid} has no command line")
    command, first = [exe], 0
    if _LOADER.fullmatch(exe.rpartition("/")[2]):
        first = 1
        while first < len(argv) and argv[first].startswith("--"):
            first += 2 if argv[first] in _WITH_VALUE else 1
        if first >= len(argv):
            raise NoCopyError(f"process {pid} ({exe}) does not name its program")
        command += argv[1 : first + 1]
    variables = _variables(process)
    why = untrusted([*command[1:], *variables])
    if why:
        raise NoCopyError(f"its program is not started again: {why}")
    command[0] = _same_file(process, exe, folder)
    if variables or len(command) > 1:
        command = [_starter(folder, command, variables)]
    return Started(command=tuple(command), argv=tuple(argv[first:]))


def untrusted(words: Sequence[str]) -> str:
    """Why a program that another user chose is not started by us; empty when it may be.

    A process can call itself what it likes. Its program, and what it loads, is run only when nobody
    but root and this user could have written it, now or later.

    :param words: paths, options of the loader with their values, ``NAME=VALUE`` of the environment.
    """
    before = ""
    for word in words:
        name, _, value = word.partition("=")
        if name in _KEPT_VARIABLES:
            paths = re.split(r"[:;]", value) if value else []
        elif word.startswith("--") or before == "--argv0":
            paths = []
        elif before in _WITH_VALUE:
            paths = re.split(r"[: ]" if before == "--preload" else r"[:;]", word)
        else:
            paths = [value if "=" in word and not word.startswith("/") else word]
        before = word
        for path in paths:
            if not path.startswith("/") or "$" in path:  # $LIB and the like
                return f"it names {quoted(path)}, which is not a full path"
            if why := _of_others(path):
                return why
    return ""


def _of_others(path: str) -> str:
    """Why others decide what is at *path*, which need not be there; empty when they do not."""
    named = Path(os.path.abspath(path))  # noqa: PTH100 -- links stay as they are
    there = next(one for one in (named, *named.parents) if os.path.lexists(one))
    try:
        status = there.stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if why := _others_write(status, path):  # in a folder such as /tmp they could put it there
        return why
    return changeable(there, folder=True)


def _others_write(status: os.stat_result, path: str) -> str:
    if status.st_uid not in {0, os.geteuid()} or status.st_mode & 0o022:
        return f"{path} can be written by users other than root"
    return ""


def _starter(folder: Path, command: Sequence[str], variables: Sequence[str]) -> str:
    """A script that starts the program with its variables, as one program to whoever starts it."""
    path = folder / "starter"
    words = [f"export {shlex.quote(word)}" for word in variables]
    words.append(f'exec {shlex.join(command)} "$@"')
    path.write_text("\n".join(["#!/bin/sh", *words, ""]))
    path.chmod(0o700)
    return str(path)


def _same_file(process: Path, exe: str, folder: Path) -> str:
    """The program's path; a copy of it when it was replaced since, or has other mounts.

    :raise NoCopyError: when it cannot be read, or others could have written it.
    """
    try:  # opened once: the process may become another program meanwhile
        with (process / "exe").open("rb") as file:
            found = os.fstat(file.fileno())
            if why := _others_write(found, exe):
                raise NoCopyError(f"its program is not started again: {why}")
            with contextlib.suppress(OSError):
                if os.path.samestat(Path(exe).stat(), found) and not changeable(exe):
                    return exe
            path = folder / Path(exe.removesuffix(" (deleted)")).name
            with path.open("xb") as copy:
                shutil.copyfileobj(file, copy)
    except OSError as error:
        raise NoCopyError(f"its program {exe} cannot be read ({error.strerror})") from None
    path.chmod(0o700)
    return str(path)


def _variables(process: Path) -> list[str]:
    try:
        raw = (process / "environ").read_bytes()
    except OSError:
        return []
    words = (os.fsdecode(word) for word in raw.split(b"\0"))
    return [word for word in words if word.partition("=")[0] in _KEPT_VARIABLES]


def copy_of(monitor: Monitor, standing: Standing, blocks: Mapping[str, tuple[int, int]]) -> Copy:
    """Start a copy of the VM, have it save itself, and take its profile.

    :param blocks: the VM's RAM blocks, by which the sizes of firmware are known.
    :raise NoCopyError: When there cannot be one here.
    :raise CaptureError: When the copy's QEMU did not survive to save itself, or refused.
    """
    pid = monitor.process()
    if pid is None:
        raise NoCopyError("its process is not on this machine, or cannot be identified")
    with private_folder() as folder:
        folder.mkdir(mode=0o700)
        return _copy(monitor, standing, blocks, pid, started(pid, folder))


def _copy(
    monitor: Monitor,
    standing: Standing,
    blocks: Mapping[str, tuple[int, int]],
    pid: int,
    found: Started,
) -> Copy:
    from migratable.commandline import parse  # noqa: PLC0415 -- for those who start it
    from migratable.profile.collect import collect  # noqa: PLC0415

    kinds: list[str] = []

    def then(qemu: QemuProcess) -> None:
        save_itself(qemu, monitor.name)
        kinds.extend(device_kinds(qemu.monitor))

    try:
        profile = collect(
            parse(list(found.argv)),
            program=found.command,
            ram_sizes={name: used for name, (used, _) in blocks.items()},
            timeout=COPY_SECONDS,
            then=then,
        )
    except CaptureError:
        raise
    except MigratableError as error:
        raise NoCopyError(f"a copy of it does not start: {error}") from None
    if (profile.version, profile.machine) != (standing.version, standing.machine):
        raise NoCopyError(
            f"process {pid}, which holds its monitor, is not its QEMU: {profile.machine} of "
            f"{profile.version}"
        )
    more = list(device_kinds(monitor))
    for kind in kinds:
        if kind in more:
            more.remove(kind)
    return Copy(profile=profile, unlike=tuple(more))


def device_kinds(monitor: Executes) -> Sequence[str]:
    """Types of the devices that were given by ``-device`` or plugged in."""
    found = []
    for path in ("/machine/peripheral", "/machine/peripheral-anon"):
        try:
            rows = monitor.execute("qom-list", {"path": path})
        except QmpError:
            continue
        kinds = (str(row.get("type", "")) for row in rows)
        found += [kind[6:-1] for kind in kinds if kind.startswith("child<")]
    return found


def save_itself(qemu: QemuProcess, name: str) -> None:
    """Have the copy write out its own state with the command that the VM will get.

    :param name: how messages call the VM.
    :raise CaptureError: When its QEMU dies of it, hangs, or refuses.
    """
    file = None
    try:
        file = Exchange(qemu.monitor)  # it is confined, and sees no file of ours by its name
        qemu.qmp(SAVE, filename=file.path, live=False)
    except QmpError as error:
        raise CaptureError(
            f"{name}: this VM cannot be saved (tested on a copy): "
            f"{error.description}; the VM was not touched"
        ) from None
    except QemuError as error:
        status = qemu.wait(2.0)
        how = "did not answer" if status is None else _ended(status)
        raise CaptureError(
            f"{name}: saving crashes QEMU (tested on a copy, which {how}: {error}); "
            "the VM was not touched. Migrate or save a VM of this kind "
            "with another release of QEMU, or without the device at fault"
        ) from None
    finally:
        if file is not None:
            with contextlib.suppress(QemuError):  # it may be gone
                file.close()


def _ended(status: int) -> str:
    import signal  # noqa: PLC0415 -- rarely needed

    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
