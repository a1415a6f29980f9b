"""``-dump-vmstate``: the fields that a program's device classes send; one cached dump each.

QEMU 5.2's ppc64 program dies of a null pointer while it writes the dump of ``pseries``; what it
wrote until then is mended: cut after the last whole class and closed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import zlib
from collections.abc import Sequence

from migratable.errors import ProfileError
from migratable.qemu import program_facts
from migratable.qemu.launch import answers

_LIMIT = 64 << 20
_CLASS = re.compile(r"^  \"[^\"\n]+\": \{$", re.M)


def mend(text: str) -> tuple[str, bool]:
    """Close a dump that was cut short after its last whole class.

    :return: JSON text and whether it had to be mended.
    :raise ProfileError: When nothing of it can be used.
    """
    with contextlib.suppress(ValueError):
        json.loads(text)
        return text, False
    places = [match.start() for match in _CLASS.finditer(text)]
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
    path = program_facts.path(command, f"-{key}.vmstate")
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    if data[:1] in {b"0", b"1"} and len(data) < _LIMIT:
        return data[1:], data[:1] == b"1"
    text, mended = _make(command, machine, timeout)
    packed = zlib.compress(text.encode(), 6)
    with contextlib.suppress(OSError):  # no cache is no failure
        program_facts.keep(path, (b"1" if mended else b"0") + packed)
    return packed, mended


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
        raise ProfileError(f"-dump-vmstate gave no file: {said[-1:] or 'it printed nothing'}")
    return mend(text)
