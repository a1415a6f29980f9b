"""Streams of guests that ran, saved once for each release and kept in the lab's folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from migratable.errors import QemuError
from migratable.lab import Installed
from tests.guests import kernel
from tests.guests.machines import GUESTS, Guest, Running

RAN = 6
"""How far a guest has counted when it is saved."""


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def booted(
    guest: Guest, program: Installed, folder: Path, *, qmp_path: Path | None = None
) -> Iterator[Running]:
    """A guest that was started from cold and has begun to count.

    :raise LabError: when its kernel cannot be had.
    """
    with _lock(kernel.guests_folder() / f"{guest.target}.lock"):
        boot_arguments = guest.boot_arguments()
    arguments = [*guest.command_line(guest.disk(folder)), *boot_arguments]
    with Running(program.command, arguments, tap=guest.tap, qmp_path=qmp_path) as running:
        running.await_count(RAN)
        yield running


@contextlib.contextmanager
def resumed(
    guest: Guest, program: Installed, folder: Path, *, qmp_path: Path | None = None
) -> Iterator[Running]:
    """The same guest from its saved stream, which is faster; it runs on in the same release.

    On pseries in 11.1 (TCG) Linux does not wake up again when it was asleep (its CPU halted), not
    even after a migration of 11.1 to itself, so that is booted.
    """
    if guest.append is not None and guest.target == "ppc64" and program.release == "11.1":
        with booted(guest, program, folder, qmp_path=qmp_path) as running:
            yield running
        return
    path = stream(guest.name, program)
    arguments = [*guest.command_line(guest.disk(folder)), "-incoming", "defer"]
    for _ in range(2):
        # About once in fifty times a pseries guest does not wake up, on a very busy host.
        with Running(program.command, arguments, tap=guest.tap, qmp_path=qmp_path) as running:
            assert running.load(path) == "completed", running.lines
            try:
                running.await_count(RAN + 1, 20.0)
            except QemuError:
                continue
            yield running
            return
    with booted(guest, program, folder, qmp_path=qmp_path) as running:  # it was saved asleep
        yield running


def stream(name: str, program: Installed) -> Path:
    """File with the stream (gzip) of guest *name* of :data:`GUESTS` that ran in that release.

    A minute when it is made for the first time, nothing after that.

    :raise LabError: when its kernel cannot be had.
    """
    guest = GUESTS[name]
    folder = kernel.guests_folder() / "streams"
    made_of = [
        *guest.arguments,
        guest.append or "",
        str(program.version),
        (Path(__file__).with_name("init.sh")).read_text(),
        (Path(__file__).with_name("boot.py")).read_text(),
    ]
    digest = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:12]
    path = folder / f"{name}-{program.release}-{digest}.mig.gz"
    with _lock(folder / f"{name}-{program.release}.lock"):
        if not path.exists():
            partial = path.with_name(f"{path.name}.{os.getpid()}.partial.gz")
            with tempfile.TemporaryDirectory() as temporary:
                try:
                    with booted(guest, program, Path(temporary)) as running:
                        running.save(partial)
                    for old in folder.glob(f"{name}-{program.release}-*.mig.gz"):
                        old.unlink()
                    partial.rename(path)
                finally:
                    partial.unlink(missing_ok=True)
    return path
