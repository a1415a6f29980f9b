"""Confine this process as far as the kernel allows, and become the program.

What is done, in order: the process dies with its starter; limits; namespaces of its own (user,
mount, network, process ids, IPC, host name); a read-only root with the needed files; no
capabilities; Landlock; a filter of system calls. What cannot be had is left out and said, in one
line ``migratable-confinement: {…}`` on stderr, except for what the specification *requires*.

Between the starter and the program stand, in a namespace of process ids, two processes that wait:
the first ends as the program ends (by the same signal), the second is the namespace's init.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # signal itself costs 3 ms
import os
import resource
import select

from migratable.qemu.confine import kernel, landlock, seccomp, view

_CAP_DAC_READ_SEARCH, _CAP_NET_ADMIN = 2, 12
_NAMESPACES = (
    (kernel.CLONE_NEWNS, "mount"),
    (kernel.CLONE_NEWPID, "pid"),
    (kernel.CLONE_NEWIPC, "ipc"),
    (kernel.CLONE_NEWUTS, "uts"),
)


def main(argv: list[str]) -> None:
    """Run ``PARENT_PID SPECIFICATION PROGRAM ARGUMENT…``; the second: see ``_read``."""
    try:
        _main(argv)
    except Exception as error:  # noqa: BLE001 -- never to be taken for the program's own end
        fail(125, f"cannot confine the program: {type(error).__name__}: {error}")


def _main(argv: list[str]) -> None:
    parent, text, *command = argv
    wanted = _read(text)
    _die_with(int(parent))
    if "confine" in wanted:
        said = _confine(wanted, int(parent))
        os.write(2, f"migratable-confinement: {_json(said)}\n".encode())
    elif "taps" in wanted:
        try:
            _user_namespace(kernel.CLONE_NEWNET)
        except OSError as error:
            _no_network(error)
        _die_with(int(parent))
    if not command:
        os._exit(0)  # it was only asked whether it can be had
    _become(command)


def _read(text: str) -> dict[str, list[str]]:
    """The specification: ``NAME=VALUE`` with U+0001 between them, a name as often as it likes."""
    found: dict[str, list[str]] = {}
    for word in filter(None, text.split("\1")):
        name, _, value = word.partition("=")
        found.setdefault(name, []).append(value)
    return found


def _json(value: object) -> str:
    """What :mod:`json` would write, whose import would cost more than all that is done here."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_json(key)}: {_json(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_json, value)) + "]"
    if isinstance(value, str):
        plain = "".join(one if " " <= one <= "~" and one not in '"\\' else "?" for one in value)
        return f'"{plain}"'
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _become(command: list[str]) -> None:
    try:
        run = os.execv if "/" in command[0] else os.execvp
        run(command[0], command)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        fail(127 if missing else 126, f"{command[0]}: {error.strerror}")


def fail(status: int, message: str) -> None:
    """End with a line on stderr, in a form that the starter knows."""
    os.write(2, f"migratable-launcher: {message}\n".encode("utf-8", "surrogateescape"))
    os._exit(status)


def _no_network(error: OSError) -> None:
    fail(125, f"cannot make a private network namespace: {error.strerror}")


def _die_with(parent: int | None) -> None:
    """A change of credentials clears it, so it is said again after one."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL, "prctl")
    if parent is not None and os.getppid() != parent:
        os._exit(124)


def _user_namespace(more: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWUSER | more)
    kernel.write_map(uid, gid)


def _confine(wanted: dict[str, list[str]], parent: int) -> dict[str, object]:
    missing: list[str] = []
    taps = "taps" in wanted
    paths, devices, run = (wanted.get(name, []) for name in ("read", "device", "run"))
    devices = [*view.DEVICES, *devices]
    said: dict[str, object] = {"namespaces": [], "view": "as it is", "landlock": 0}
    _limits()
    try:
        said["namespaces"] = _namespaces(wanted, paths, devices)
        said["view"] = "all, read-only" if "/" in paths else "needed files"
    except OSError as error:
        missing.append(f"namespaces: {error.strerror}")
        try:
            _user_namespace(kernel.CLONE_NEWNET)
            said["namespaces"] = ["user", "network"]
        except OSError as worse:
            if taps:
                _no_network(worse)
        _die_with(parent)
        os.chdir("/proc/self")  # where no file can be made
    kept = {_CAP_NET_ADMIN} if taps else set()
    if "root" in wanted:
        kept |= {_CAP_DAC_READ_SEARCH}
        missing.append("user namespace: the program can only be read with root's rights")
    kernel.drop_capabilities(frozenset(kept))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1, "no_new_privs")
    try:
        reads = ["/"] if said["view"] == "needed files" else [*paths, "/proc"]
        said["landlock"] = landlock.apply(read=reads, write=devices, run=run)
    except OSError as error:
        missing.append(f"Landlock: {error.strerror}")
    try:
        seccomp.apply(signals="pid" in str(said["namespaces"]))
        said["seccomp"] = True
    except OSError as error:
        said["seccomp"] = False
        missing.append(f"seccomp: {error.strerror}")
    return {**said, "missing": missing}


def _limits() -> None:
    for name, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 8192),
    ):
        soft, hard = resource.getrlimit(name)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        if soft == resource.RLIM_INFINITY or soft > least or name == resource.RLIMIT_NOFILE:
            resource.setrlimit(name, (least, least))


def _namespaces(wanted: dict[str, list[str]], paths: list[str], devices: list[str]) -> list[str]:
    """Change into namespaces of its own; returns in the process that is to become the program.

    :raise OSError: When they cannot be had; this process is then as it was before.
    """
    report, told = os.pipe()
    outer = os.fork()
    if outer:
        os.close(told)
        _wait_for(outer, report)
    os.close(report)
    _die_with(None)
    try:
        return _in_namespaces("root" not in wanted, paths, devices)
    except OSError as error:
        os.write(told, (error.strerror or str(error)).encode())
        os._exit(0)


def _in_namespaces(user: bool, paths: list[str], devices: list[str]) -> list[str]:
    """Root makes them with its own rights, and last a user namespace, which owns no mount."""
    flags = sum(flag for flag, _ in _NAMESPACES)
    root = os.geteuid() == 0
    if root:
        kernel.unshare(flags)
    else:
        _user_namespace(flags | kernel.CLONE_NEWNET)
    lives, held = os.pipe()
    report, told = os.pipe()
    first = os.fork()
    if first:
        os.close(told)
        _wait_for(first, report, also=held)
    os.close(held)
    os.close(report)
    _die_with(None)
    if select.select([lives], [], [], 0)[0]:
        os._exit(124)  # its parent is gone: nobody holds the other end
    os.close(lives)
    try:
        view.enter(paths, devices, own_processes=True)
        if root and user:
            _user_namespace(kernel.CLONE_NEWNET)
        elif root:
            kernel.unshare(kernel.CLONE_NEWNET)
        second = os.fork()
    except OSError as error:
        os.write(told, (error.strerror or str(error)).encode())
        os._exit(0)
    if second:
        _be_init(second)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL, "prctl")
    more = ["user"] if user or not root else []
    return [*more, "network", *(name for _, name in _NAMESPACES)]


def _wait_for(child: int, report: int, also: int = -1) -> None:
    """Wait for what runs in namespaces, and end as it ends.

    :raise OSError: When it could not be set up.
    """
    why = os.read(report, 4096)
    os.close(report)
    if why:
        os.waitpid(child, 0)
        raise OSError(1, why.decode("utf-8", "replace"))
    _close_all_but({2, also})
    _, status = os.waitpid(child, 0)
    _end_as(os.waitstatus_to_exitcode(status))


def _be_init(second: int) -> None:
    """The namespace's first process: takes every orphan, and ends with the program."""
    _close_all_but({2})
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == second:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _end_as(code: int) -> None:
    if code < 0 or code > 128:
        number = -code if code < 0 else code - 128
        if number not in {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os._exit(code if code >= 0 else 128 - code)


def _close_all_but(kept: set[int]) -> None:
    """Without ``/proc``, which may be another namespace's."""
    first = 0
    for number in (*sorted(kept - {-1}), 1 << 20):
        os.closerange(first, number)
        first = number + 1
