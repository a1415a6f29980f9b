"""``-dump-vmstate``: what a program's device classes would send. One dump for a program, cached.

QEMU 5.2's ppc64 program dies of a null pointer while it writes the dump of ``pseries``; what it
wrote until then is mended: cut after the last whole class and closed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from migratable import paths
from migratable.errors import ProfileError
from migratable.qemu.launch import answers
from migratable.regular_file import is_regular

_LIMIT = 64 << 20
_MOST_NAMES = 500
_CLASS = re.compile(r"^  \"[^\"\n]+\": \{$", re.M)


def fact_path(command: Sequence[str], ending: str) -> Path:
    """Where a fact about a program is kept; the program is known by :func:`identity`."""
    return paths.cache("programs") / f"{identity(command)}{ending}"


def identity(command: Sequence[str]) -> str:
    """Name a program by the path, size and time of every file in its starting words."""
    import shutil  # noqa: PLC0415 -- only here

    digest = hashlib.sha256()
    for word in command:
        digest.update(word.encode("utf-8", "surrogateescape") + b"\0")
        path = Path(shutil.which(word) or word)
        with contextlib.suppress(OSError, ValueError):
            status = path.resolve().stat()
            digest.update(f"{path.resolve()} {status.st_size} {status.st_mtime_ns}\0".encode())
            if status.st_size < 65536 and is_regular(
                path
            ):  # a starter: the program that it names counts too
                for other in _named_in(path.read_bytes()):
                    with contextlib.suppress(OSError, ValueError):
                        there = other.stat()
                        digest.update(f"{other} {there.st_size} {there.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:32]


def _named_in(script: bytes) -> list[Path]:
    """Files that a starter may run: by their paths, or by names that ``PATH`` resolves."""
    import shutil  # noqa: PLC0415 -- only here

    found = [Path(os.fsdecode(one)) for one in set(re.findall(rb"/[^\s\"':$]+", script))]
    names = set(re.findall(rb"(?<![\w./-])[a-z][\w.+-]*", script))
    resolved = (shutil.which(os.fsdecode(name)) for name in sorted(names)[:_MOST_NAMES])
    found += [Path(path).resolve() for path in resolved if path]
    return sorted(found)


def mend(text: str) -> tuple[str, bool]:
    """Close a dump that was cut short after its last whole class.

    :return: JSON text and whether it had to be mended.
    :raise ProfileError: When nothing of it can be used.
    """
    with contextlib.suppress(ValueError):
        json.loads(text)
        return text, False
    places = [found.start() for found in _CLASS.finditer(text)]
    for place in reversed(places):
        candidate = text[:place].rstrip().rstrip(",") + "\n}\n"
        with contextlib.suppress(ValueError):
            json.loads(candidate)
            return candidate, True
    raise ProfileError("-dump-vmstate wrote nothing that can be used")


def load(command: Sequence[str], machine: str, *, timeout: float = 60.0) -> tuple[bytes, bool]:
    """Give the dump of a program, from the cache or made now.

    :return: JSON text compressed with zlib, and whether it had to be mended.
    :raise ProfileError: When the program gives none.
    """
    key = hashlib.sha256(machine.encode()).hexdigest()[:8]
    path = fact_path(command, f"-{key}.vmstate")
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    if data[:1] in {b"0", b"1"} and len(data) < _LIMIT:
        return data[1:], data[:1] == b"1"
    text, mended = _make(command, machine, timeout)
    packed = zlib.compress(text.encode(), 6)
    with contextlib.suppress(OSError):  # no cache is no failure
        keep(path, (b"1" if mended else b"0") + packed)
    return packed, mended


def keep(path: Path, data: bytes) -> None:
    """Write a file of the cache, whole or not at all.

    :raise OSError: When it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
        stream.write(data)
    Path(stream.name).replace(path)


def _make(command: Sequence[str], machine: str, timeout: float) -> tuple[str, bool]:
    descriptor = os.memfd_create("vmstate", os.MFD_CLOEXEC)
    try:
        argv = [*command, "-machine", machine, "-nodefaults", "-display", "none"]
        argv += ["-dump-vmstate", f"/proc/self/fd/{descriptor}"]
        try:
            done = answers(argv, timeout=timeout, pass_fds=[descriptor])
        except OSError as error:
            raise ProfileError(f"-dump-vmstate: {error}") from None
        if done.status is None:
            raise ProfileError(f"-dump-vmstate: no end within {timeout:g} seconds")
        os.lseek(descriptor, 0, os.SEEK_SET)
        with open(descriptor, "rb", closefd=False) as stream:
            text = stream.read(_LIMIT).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    if not text:
        said = done.stderr.strip().splitlines()
        raise ProfileError(f"-dump-vmstate gave no file: {said[-1:] or 'nothing said'}")
    return mend(text)
