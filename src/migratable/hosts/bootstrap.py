"""The first code on a host: read the program from stdin, unpack it privately, run it.

The text of this file is sent to ``python3 -I`` there, so it imports nothing of this package and is
plain Python 3.9. ``HEADER`` is one line of JSON: ``digest`` and ``size`` of the program's file,
``keep`` (a folder to keep it in: ``~/.cache/migratable/hosts``), ``nonce``.

It answers one line, ``migratable-host NONCE have|need|ready|error TEXT``; what a shell's start-up
files print before is none of it.
"""

import hashlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from typing import Any

HEADER: str  # put before this text by the sender
ROOM = 24 << 20
"""Bytes that must be free where it is unpacked: the program, and its compiled form."""
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""Which end it, with all that it made removed."""


def say(nonce: str, what: str, text: str = "") -> None:
    """Write one line to the other side."""
    os.write(1, f"\nmigratable-host {nonce} {what} {text}\n".encode())


def exactly(size: int) -> bytes:
    """Read so many bytes of stdin, unbuffered."""
    data = bytearray()
    while len(data) < size:
        part = os.read(0, min(1 << 16, size - len(data)))
        if not part:
            sys.exit(0)  # the other side went away
        data += part
    return bytes(data)


def places() -> Iterator[str]:
    """Folders in which a private one may be made, the best first."""
    for name in (os.environ.get("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108
        if name and os.path.isdir(name):
            yield name


def private_folder() -> str:
    """Make a new folder of mode 0700 with room in it.

    :raise OSError: when there is none; it says for each place why.
    """
    reasons = []
    for place in places():
        try:
            info = os.statvfs(place)
            if info.f_bavail * info.f_frsize < ROOM:
                reasons.append(f"{place} is full")
                continue
            return tempfile.mkdtemp(prefix="migratable-", dir=place)
        except OSError as error:
            reasons.append(f"{place}: {error.strerror}")
    raise OSError("no place for temporary files: " + ("; ".join(reasons) or "no folder for them"))


def kept_folder() -> str:
    """Where the program is kept from run to run."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(cache, "migratable", "hosts")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


def is_whole(folder: str) -> bool:
    """Is it ours, for us alone, and complete?"""
    try:
        status = os.lstat(folder)
        return (
            status.st_uid == os.geteuid()
            and not status.st_mode & 0o077
            and os.path.exists(os.path.join(folder, "whole"))
        )
    except OSError:
        return False


def unpack(header: dict[str, Any], folder: str) -> None:
    """Receive the program into *folder*."""
    data = exactly(header["size"])
    if hashlib.sha256(data).hexdigest() != header["digest"]:
        raise OSError("the program arrived damaged")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        archive.extractall(folder)


def main() -> None:
    """Unpack and run."""
    header = json.loads(HEADER)
    nonce = header["nonce"]
    os.umask(0o077)
    for number in SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))
    work = None
    try:
        try:
            work = private_folder()
            program = os.path.join(work, "program")
            if header["keep"]:
                kept = os.path.join(kept_folder(), header["digest"][:32])
                if is_whole(kept):
                    say(nonce, "have")
                else:
                    say(nonce, "need")
                    unpack(header, program)
                    with open(os.path.join(program, "whole"), "w"):
                        pass
                    shutil.rmtree(kept, ignore_errors=True)
                    shutil.copytree(program, kept + ".part")
                    os.rename(kept + ".part", kept)
                program = kept
            else:
                unpack(header, program)
        except OSError as error:
            say(nonce, "error", str(error))
            return
        if not header["keep"]:
            sys.dont_write_bytecode = True
        sys.path.insert(0, program)
        if sys.version_info < (3, 11):
            sys.path.append(os.path.join(program, "before-3.11"))
        from migratable.hosts.agent import serve

        serve(work, nonce, say)
    finally:
        # A signal that comes now must not stop the cleaning: it is the end already.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
