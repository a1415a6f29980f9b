"""An inert copy of a running VM: the same program and command line, paused, nothing of the host.

It is asked before the VM is touched. It saves itself with the very command that the VM will get:
a QEMU that crashes when it saves such a machine does so in the copy (11.1 with nvme-ns; 7.2 with
pci-serial-2x). And its tables describe the bytes that the VM writes, which say nothing of
themselves.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migratable.capture.guard import SAVE, Standing
from migratable.capture.monitor import Exchange, Monitor
from migratable.errors import CaptureError, MigratableError, NoCopyError, QemuError
from migratable.qemu.process import QemuProcess
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


def started(pid: int) -> Started:
    """How the process *pid* was started, from ``/proc``.

    :raise NoCopyError: When it cannot be seen from here.
    """
    folder = Path(f"/proc/{pid}")
    try:
        raw = (folder / "cmdline").read_bytes()
        exe = str((folder / "exe").readlink())
    except OSError as error:
        raise NoCopyError(
            f"process {pid} cannot be looked at ({error.strerror}); run as its user, or as root"
        ) from None
    argv = [os.fsdecode(word) for word in raw.split(b"\0")[:-1]]
    if not argv:
        raise NoCopyError(f"process {pid} has no command line")
    command, first = [_same_file(folder, exe)], 0
    if _LOADER.fullmatch(exe.rpartition("/")[2]):
        first = 1
        while first < len(argv) and argv[first].startswith("--"):
            first += 2 if argv[first] in _WITH_VALUE else 1
        if first >= len(argv):
            raise NoCopyError(f"process {pid} ({exe}) does not name its program")
        command += argv[1 : first + 1]
    variables = _variables(folder)
    if variables:
        command = ["/usr/bin/env", *variables, *command]
    return Started(command=tuple(command), argv=tuple(argv[first:]))


def _same_file(folder: Path, exe: str) -> str:
    """The program's path; through ``/proc`` when it was replaced since, or has other mounts."""
    here = folder / "exe"
    try:
        return exe if Path(exe).samefile(here) else str(here)
    except OSError:
        return str(here)


def _variables(folder: Path) -> list[str]:
    try:
        raw = (folder / "environ").read_bytes()
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
    from migratable.commandline import parse  # noqa: PLC0415 -- for those who start it
    from migratable.profile.collect import collect  # noqa: PLC0415

    pid = monitor.process()
    if pid is None:
        raise NoCopyError("its process is not on this machine, or cannot be told from others")
    found = started(pid)
    kinds: list[str] = []

    def then(qemu: QemuProcess) -> None:
        save_itself(qemu, monitor.name)
        kinds.extend(device_kinds(_Asked(qemu)))

    try:
        profile = collect(
            parse(list(found.argv)),
            program=found.command,
            ram_sizes={name: used for name, (used, _) in blocks.items()},
            vmstate=False,
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


class _Asked:
    """The copy, asked as a monitor is."""

    name = "the copy"

    def __init__(self, qemu: QemuProcess) -> None:
        self._monitor = qemu.monitor

    def execute(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        *,
        fd: int | None = None,
        timeout: float = 30.0,
    ) -> Any:
        """Run a QMP command."""
        return self._monitor.execute(command, arguments, fd=fd, timeout=timeout)

    def events(self) -> list[dict[str, Any]]:
        """None are wanted."""
        return []

    def process(self) -> int | None:
        """Nor is its number."""
        return None


def device_kinds(monitor: _Asked | Monitor) -> Sequence[str]:
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
        file = Exchange(_Asked(qemu))  # it is confined, and sees no file of ours by its name
        qemu.qmp(SAVE, filename=file.path, live=False)
    except QmpError as error:
        raise CaptureError(
            f"{name}: this VM cannot be saved: a copy of it, which was asked first, refuses: "
            f"{error.description}; the VM was left alone"
        ) from None
    except QemuError as error:
        status = qemu.wait(2.0)
        how = "did not answer" if status is None else _ended(status)
        raise CaptureError(
            f"{name}: QEMU would not survive to save this VM: a copy of it, which was asked "
            f"first, {how} ({error}); the VM was left alone. Migrate or save a VM of this kind "
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
