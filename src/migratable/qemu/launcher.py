"""Run a program that dies with us, if asked in a namespace of its own.

This file is run as a script by :mod:`migratable.qemu.process` with a bare interpreter (``-I -S``),
so it imports nothing of this package::

    launcher.py PARENT_PID NAMESPACE(0|1) PROGRAM ARGUMENT…

Its process becomes the program's, so the process id is the program's own. Status 125: the
namespace cannot be had; 126, 127: the program cannot be run, as shells have it.
"""

import ctypes
import os
import signal
import sys

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Set things up and become the program."""
    parent, namespace, *command = sys.argv[1:]
    libc = ctypes.CDLL(None, use_errno=True)
    if namespace == "1":
        uid, gid = os.geteuid(), os.getegid()
        if libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0:
            fail(125, f"cannot make a private network namespace: {os.strerror(ctypes.get_errno())}")
        try:
            for name, text in (
                ("setgroups", "deny"),
                ("uid_map", f"0 {uid} 1"),
                ("gid_map", f"0 {gid} 1"),
            ):
                descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
                os.write(descriptor, text.encode())
                os.close(descriptor)
        except OSError as error:
            fail(125, f"cannot make a private network namespace: {error}")
    # After unshare: a change of credentials clears it.
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        os._exit(124)
    try:
        os.execvp(command[0], command)  # noqa: S606 -- starting the program is the purpose
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        fail(127 if missing else 126, f"{command[0]}: {error.strerror}")


def fail(status: int, message: str) -> None:
    """End with a line on stderr, in a form that the starter knows."""
    os.write(2, f"migratable-launcher: {message}\n".encode())
    os._exit(status)


main()
