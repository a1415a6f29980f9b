"""Facts about programs, asked once and kept in the user's cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from migratable import paths
from migratable.regular_file import is_regular

_MOST_NAMES = 500


def path(command: Sequence[str], ending: str) -> Path:
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


def keep(path: Path, data: bytes) -> None:
    """Write a file of the cache, whole or not at all.

    :raise OSError: When it cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as stream:
        stream.write(data)
    Path(stream.name).replace(path)
