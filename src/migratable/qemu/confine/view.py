"""A root of its own for the program: only the files that it needs, all read-only.

The new root is an empty file system in memory, in which the files are bound at their own names.
"""

from __future__ import annotations

import os
import stat

from migratable.qemu.confine import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_PLACE = "/tmp"  # noqa: S108 -- a folder that is there; what is in it is hidden, not touched
_MOST_COPIED = 64 << 20
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def enter(paths: Sequence[str], devices: Sequence[str], *, own_processes: bool) -> None:
    """Change into a root with *paths* and *devices* alone. ``/`` among *paths* stands for all.

    :param own_processes: ``/proc`` can be mounted anew, as this is the first process of a
        namespace.
    :raise OSError: When it cannot be had.
    """
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    found = _opened("/" if "/" in paths else "", paths)
    nodes = _opened("", devices)
    try:
        if "/" in paths:
            kernel.mount("/", _PLACE, None, kernel.MS_BIND | kernel.MS_REC)
        else:
            flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
            kernel.mount("migratable", _PLACE, "tmpfs", flags, "mode=0755,size=512m")
            for path, descriptor in found:
                _bind(path, descriptor)
            for path, descriptor in nodes:
                _bind(path, descriptor)
            os.makedirs(f"{_PLACE}/proc", mode=0o755, exist_ok=True)
    finally:
        for _, descriptor in (*found, *nodes):
            os.close(descriptor)
    kernel.read_only(_PLACE)
    _processes(own=own_processes)  # not read-only: a user namespace's map is written there
    os.chdir(_PLACE)
    kernel.pivot_root(".", ".")
    kernel.umount(".")
    os.chdir("/")


def _opened(whole: str, paths: Sequence[str]) -> list[tuple[str, int]]:
    found = []
    for path in sorted(set(paths)) if not whole else []:
        try:
            found.append((path, os.open(path, os.O_PATH | os.O_CLOEXEC)))
        except OSError:
            continue
    return found


def _bind(path: str, descriptor: int) -> None:
    target = _PLACE + path
    if os.path.lexists(target):
        return  # in a folder that is bound already
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    if os.path.islink(path) and path.count("/") == 1:  # /lib is a link to usr/lib
        os.symlink(os.readlink(path), target)
        return
    found = os.fstat(descriptor)
    if stat.S_ISDIR(found.st_mode):
        os.mkdir(target, 0o755)
    else:
        os.mknod(target, stat.S_IFREG | 0o444)
        if _is_secret(found) and found.st_size <= _MOST_COPIED:
            with open(f"/proc/self/fd/{descriptor}", "rb") as file, open(target, "wb") as copy:
                copy.write(file.read(_MOST_COPIED))
            return
    kernel.mount(f"/proc/self/fd/{descriptor}", target, None, kernel.MS_BIND | kernel.MS_REC)


def _is_secret(found: os.stat_result) -> bool:
    """A file of another user that root reads with a right that it is about to give up."""
    return (
        stat.S_ISREG(found.st_mode)
        and os.geteuid() == 0
        and found.st_uid != 0
        and not found.st_mode & stat.S_IROTH
    )


def _processes(*, own: bool) -> None:
    target = f"{_PLACE}/proc"
    if own:
        flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
        try:
            kernel.mount("proc", target, "proc", flags)
        except OSError:
            pass  # some of /proc is hidden here, so it must stay so
        else:
            return
    kernel.mount("/proc", target, None, kernel.MS_BIND | kernel.MS_REC)
