"""Open a file that a user named, but never a FIFO or a device: these block or have effects."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

_INHERITED = re.compile(r"/(?:dev|proc/self)/fd/\d+")


def is_regular(name: str | os.PathLike[str]) -> bool:
    """Is there a regular file (behind links, too)?"""
    try:
        return _is_safe(os.stat(name))  # noqa: PTH116 -- takes any name
    except (OSError, ValueError):
        return False


def open_regular(name: str | os.PathLike[str], *, inherited: bool = False) -> BinaryIO:
    """Open a regular file to read.

    :param inherited: a pipe that our starter opened will do (``/dev/fd/63`` of a shell's ``<(…)``).
    :raise OSError: When it cannot be opened, or is something else (``EINVAL``); a FIFO is not
        waited for and a device is not touched.
    """
    # Check the opened file again: the name may have been replaced between the two calls.
    if inherited and _INHERITED.fullmatch(os.fspath(name)):
        return open(name, "rb")  # noqa: PTH123 -- takes any name
    if not is_regular(name) and Path(name).exists():
        raise OSError(22, "not a regular file", os.fspath(name))
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError:  # a NUL in the name
        raise FileNotFoundError(2, "No such file or directory", os.fspath(name)) from None
    if not _is_safe(os.fstat(descriptor)):
        os.close(descriptor)
        raise OSError(22, "not a regular file", os.fspath(name))
    return os.fdopen(descriptor, "rb")


def _is_safe(found: os.stat_result) -> bool:
    """A regular file, or ``/dev/null``, which is an empty one."""
    return stat.S_ISREG(found.st_mode) or (
        stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)
    )


def size_of(name: str) -> int | None:
    """Bytes of a regular file or a block device, without opening either; None for anything else."""
    try:
        found = os.stat(name)  # noqa: PTH116 -- takes any name
        if stat.S_ISREG(found.st_mode):
            return found.st_size
        if stat.S_ISBLK(found.st_mode):
            number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
            return int(Path(f"/sys/dev/block/{number}/size").read_text(encoding="ascii")) * 512
    except (OSError, ValueError):
        pass
    return None
