"""The one place that starts a QEMU program, so that every process is confined.

::

    launch(argv, pass_fds=[3])          a running machine; its owner ends it
    answers(argv, timeout=10)           what ``-version``, ``-device help`` … print

Both go through ``launcher.py``: the program dies with the thread that started it, has the plain
locale, and knows nothing of the host's display and sound.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from migratable.qemu.confinement import MARK, needs_more, needs_programs, specification

_LAUNCHER = Path(__file__).with_name("launcher.py")
_HOST_VARIABLES = frozenset(
    {"DISPLAY", "WAYLAND_DISPLAY", "LISTEN_FDS", "LISTEN_PID", "XDG_RUNTIME_DIR"}
)
_ADDED = {
    "LC_ALL": "C",
    # A hash page table of 512 MiB (pseries, 64 GiB) is zeroed in large pages: 0.2 s less.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    # A sound device without -audiodev would open the host's sound.
    "QEMU_AUDIO_DRV": "none",
    "PULSE_SERVER": "/nonexistent",
    "ALSA_CONFIG_PATH": "/dev/null",
    "SDL_AUDIODRIVER": "dummy",
    "JACK_NO_START_SERVER": "1",
}
_ANSWER_LIMIT = 64 << 20


def launch(
    argv: Sequence[str],
    *,
    pass_fds: Sequence[int] = (),
    network_namespace: bool = False,
    kvm: bool = False,
    files: Iterable[str] = (),
    whole: bool = False,
    runs_others: bool = False,
    confined: bool = True,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a program of QEMU (or a helper of it); it dies with the calling thread.

    :param argv: program and arguments; words of the user are data here, no shell sees them. None:
        nothing is run, it is only tried how far it can be confined.
    :param pass_fds: descriptors that it inherits.
    :param network_namespace: it makes network interfaces, in a namespace of its own.
    :param kvm: it opens ``/dev/kvm``.
    :param files: that its arguments name, to be read.
    :param whole: it sees all of the file system, read-only, not only what it is known to need.
    :param runs_others: programs that are not known here, too.
    :param confined: as far as the kernel allows; it says how far on stderr (``Confinement.read``).
    :raise OSError: When no process can be made. A program that cannot be run ends with status 126
        or 127, a namespace that cannot be had with 125, and a line ``migratable-launcher: …``.
    """
    inherited = {name: text for name, text in os.environ.items() if name not in _HOST_VARIABLES}
    words = list(argv)
    if words:
        found = words[0] if "/" in words[0] else shutil.which(words[0]) or words[0]
        words[0] = os.path.abspath(found)  # noqa: PTH100 -- links stay as they are
    wanted = "taps" if network_namespace else ""
    if confined:
        wanted = specification(
            words,
            files=files,
            whole=whole,
            runs_others=runs_others,
            taps=network_namespace,
            kvm=kvm,
        )
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(_LAUNCHER), str(os.getpid()), wanted, *words],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        pass_fds=tuple(pass_fds),
        start_new_session=True,
        env={**inherited, **_ADDED},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a program printed, and how it ended (None: it was ended, *limit* or time was up)."""

    stdout: str
    stderr: str
    status: int | None


def answers(
    argv: Sequence[str],
    *,
    timeout: float,
    limit: int = _ANSWER_LIMIT,
    pass_fds: Sequence[int] = (),
) -> Answers:
    """Run a program that only prints: ``-version``, ``-device help``, ``-dump-vmstate``.

    :param limit: bytes to read at most; the program is ended then.
    :param pass_fds: as :func:`launch`.
    :raise OSError: When no process can be made.
    """
    deadline = time.monotonic() + timeout
    process = launch(argv, stdout=subprocess.PIPE, pass_fds=pass_fds)
    said = _answers(process, deadline, limit)
    lines = said.stderr.splitlines()
    if said.status and needs_more(lines):
        process = launch(
            argv,
            stdout=subprocess.PIPE,
            pass_fds=pass_fds,
            whole=True,
            runs_others=needs_programs(lines),
        )
        said = _answers(process, deadline, limit)
    return said


def _answers(process: subprocess.Popen[bytes], deadline: float, limit: int) -> Answers:
    assert process.stdout is not None
    assert process.stderr is not None
    out, err = process.stdout.fileno(), process.stderr.fileno()
    said = {out: b"", err: b""}
    status = None
    try:
        with selectors.DefaultSelector() as selector:
            for pipe in said:
                selector.register(pipe, selectors.EVENT_READ)
            while selector.get_map() and sum(map(len, said.values())) < limit:
                ready = selector.select(max(0.0, deadline - time.monotonic()))
                if not ready:
                    break
                for key, _ in ready:
                    data = os.read(key.fd, 65536)
                    if data:
                        said[key.fd] += data
                    else:
                        selector.unregister(key.fd)
            ended = not selector.get_map()
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(max(0.0, deadline - time.monotonic())) if ended else None
    finally:
        if status is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        process.stdout.close()
        process.stderr.close()
    lines = said[err].decode("utf-8", "replace").splitlines(keepends=True)
    return Answers(
        stdout=said[out].decode("utf-8", "replace"),
        stderr="".join(line for line in lines if not line.startswith(MARK)),
        status=status,
    )


_namespaces: bool | None = None


def namespaces_work() -> bool:
    """Can a user and network namespace with taps be had here without root?

    Asked once for each process; about 15 ms.
    """
    global _namespaces  # noqa: PLW0603 -- a cache for the life of the process
    if _namespaces is None:
        _namespaces = False
        if os.access("/dev/net/tun", os.R_OK | os.W_OK):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process = launch([], network_namespace=True, stderr=subprocess.DEVNULL)
                _namespaces = process.wait(10) == 0
    return _namespaces
