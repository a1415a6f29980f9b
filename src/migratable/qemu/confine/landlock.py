"""Landlock (Linux 5.13): files to read, to write and to run, for what this process becomes."""

from __future__ import annotations

import ctypes
import os

from migratable.qemu.confine import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CREATE, _ADD, _RESTRICT = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST = (1 << 13) - 1  # all rights of version 1
_BIND_TCP, _CONNECT_TCP = 1, 2
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The kernel's version of Landlock; 0 when it has none."""
    try:
        return kernel.syscall(_CREATE, None, 0, 1, what="landlock")
    except OSError:
        return 0


def apply(*, read: Iterable[str], write: Iterable[str], run: Iterable[str]) -> int:
    """Allow *read* (files and all in folders), *write* (devices), *run* (programs) alone.

    :return: Landlock's version.
    :raise OSError: When the kernel has none or refuses.
    """
    number = version()
    if number == 0:
        raise OSError(38, "the kernel has no Landlock")
    files = _FIRST
    for since, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        files |= right if number >= since else 0
    rules = _Ruleset(
        files,
        (_BIND_TCP | _CONNECT_TCP) if number >= 4 else 0,
        (_ABSTRACT_SOCKETS | _SIGNALS) if number >= 6 else 0,
    )
    size = 8 if number < 4 else 16 if number < 6 else 24
    ruleset = kernel.syscall(_CREATE, ctypes.byref(rules), size, 0, what="landlock")
    try:
        for path in read:
            _allow(ruleset, path, READ_FILE | READ_DIR)
        for path in write:
            more = _IOCTL_DEV if number >= 5 else 0
            _allow(ruleset, path, READ_FILE | WRITE_FILE | more)
        for path in run:
            _allow(ruleset, path, READ_FILE | EXECUTE | READ_DIR)
        kernel.syscall(_RESTRICT, ruleset, 0, what="landlock")
    finally:
        os.close(ruleset)
    return number


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not there: nothing to allow
    try:
        if not os.path.isdir(path):
            rights &= ~READ_DIR
        rule = _Beneath(rights, descriptor)
        kernel.syscall(_ADD, ruleset, 1, ctypes.byref(rule), 0, what=f"landlock {path}")
    finally:
        os.close(descriptor)
