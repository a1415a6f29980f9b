"""System calls that Python does not have, through libc."""

from __future__ import annotations

import ctypes
import os

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
SYS_MOUNT_SETATTR = 442  # the same on all architectures, as all since 5.1
AT_RECURSIVE = 0x8000
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID = 1, 2

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def check(result: int, what: str) -> int:
    """Give the result of a call.

    :raise OSError: When it failed.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def syscall(number: int, *arguments: object, what: str) -> int:
    """Make a system call by its number."""
    words = [
        ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments
    ]
    return check(libc.syscall(ctypes.c_long(number), *words), what)


def prctl(option: int, value: int, what: str) -> None:
    """Change this process."""
    check(libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0), what)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    check(libc.unshare(flags), "unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """Mount a file system, bind one, or change one."""
    words = [None if one is None else os.fsencode(one) for one in (source, target, kind, data)]
    call = libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    check(call, f"mount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make *new* the root of this mount namespace."""
    libc.pivot_root.restype = ctypes.c_int
    check(libc.pivot_root(os.fsencode(new), os.fsencode(old)), "pivot_root")


def umount(target: str) -> None:
    """Detach a mount."""
    check(libc.umount2(os.fsencode(target), MNT_DETACH), f"umount {target}")


def read_only(root: str) -> None:
    """Make every mount of a tree read-only (``mount_setattr``, Linux 5.12; else one by one)."""
    attributes = (ctypes.c_uint64 * 4)(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID, 0, 0, 0)
    try:
        syscall(
            SYS_MOUNT_SETATTR,
            -100,
            ctypes.c_char_p(os.fsencode(root)),
            AT_RECURSIVE,
            attributes,
            ctypes.sizeof(attributes),
            what="mount_setattr",
        )
    except OSError:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            mounts = [line.split() for line in file]
        for words in mounts:
            place = words[4].encode("utf-8", "surrogateescape").decode("unicode_escape")
            if place == root or place.startswith(root.rstrip("/") + "/"):
                options = words[5].split(",")
                kept = {"nodev": MS_NODEV, "noexec": MS_NOEXEC}
                flags = sum(flag for name, flag in kept.items() if name in options)
                mount(None, place, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | flags)


def drop_capabilities(kept: frozenset[int]) -> None:
    """Leave none for the program to gain but *kept*."""
    for number in range(64):
        if number not in kept and libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
            break  # no such capability: there are no more


def write_map(uid: int, gid: int) -> None:
    """In a new user namespace: be root of it, which is *uid* and *gid* outside."""
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"0 {uid} 1"),
        ("gid_map", f"0 {gid} 1"),
    ):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
