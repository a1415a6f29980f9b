"""Which mapped files are the program's own, and which build it is.

A program is not known by its path: it may be started by a loader (``ld.so PROGRAM``), be replaced
since, or be called anything. The file that a well-known description of it lies in is its image;
modules are the other files that hold descriptions, and those of QEMU's module folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from functools import cache

from migratable.profile.memory.process import ProcessMemory, Region

_ELF = b"\x7fELF"
_CLASS_64 = 2
_PT_NOTE = 4
_NT_GNU_BUILD_ID = 3
_MODULE_SUFFIX = ".so"


class Image:
    """The program's file and its modules in a process.

    :ivar files: names of the mappings, the program's first.
    :ivar regions: their mappings.
    """

    def __init__(self, memory: ProcessMemory, descriptions: Iterable[int]) -> None:
        """Find it.

        :param descriptions: addresses of descriptions; the first one is in the program itself.
        """
        self._memory = memory
        names: list[str] = []
        for address in descriptions:
            region = memory.region(address)
            if region is not None and region.name.startswith("/"):
                names.append(region.name)
        folders = _module_folders(memory.pid)
        names += [
            region.name
            for region in memory.regions
            if region.name.endswith(_MODULE_SUFFIX)
            and (_folder(region.name) in folders or _folder(region.name).endswith("/qemu"))
        ]
        self.files = tuple(dict.fromkeys(names))
        self.regions = tuple(region for region in memory.regions if region.name in self.files)

    @property
    def tables(self) -> list[Region]:
        """Mappings that hold data."""
        return [region for region in self.regions if "x" not in region.permissions]

    def holds(self, address: int) -> bool:
        """Whether an address is in one of the files."""
        region = self._memory.region(address)
        return region is not None and region.name in self.files

    @property
    def build_id(self) -> str:
        """The GNU build-id of the program, hexadecimal; empty when it has none."""
        if not self.files:
            return ""
        base = min(region.start for region in self.regions if region.name == self.files[0])
        return _build_id(self._memory, base)

    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each file, the program's first; empty text for one that is no longer there.

        A build-id stays when somebody changes the program; this does not.
        """
        return tuple(_digest(name) for name in self.files)


@cache
def _digest_of(path: str, _changed: int, _size: int) -> str:
    with open(path, "rb") as file:  # noqa: PTH123
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(path: str) -> str:
    try:
        status = os.stat(path)  # noqa: PTH116
        return _digest_of(path, status.st_mtime_ns, status.st_size)
    except OSError:  # replaced since it was started, or not to be read
        return ""


def _folder(path: str) -> str:
    return os.path.realpath(os.path.dirname(path))  # noqa: PTH120 -- names from /proc, many times


def _module_folders(pid: int) -> set[str]:
    """What ``QEMU_MODULE_DIR`` names in the process's environment."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            words = file.read().split(b"\0")
    except OSError:
        return set()
    prefix = b"QEMU_MODULE_DIR="
    return {
        os.path.realpath(os.fsdecode(word.removeprefix(prefix)))
        for word in words
        if word.startswith(prefix) and len(word) > len(prefix)
    }


def _build_id(memory: ProcessMemory, base: int) -> str:
    """Read a build-id through the program headers at *base* (elf(5))."""
    ident = memory.read(base, 16)
    if ident is None or ident[:4] != _ELF or ident[4] != _CLASS_64:
        return ""
    head = memory.unpack("HHIQQQIHHH", base + 16)
    if head is None:
        return ""
    offset, size, count = head[4], head[8], head[9]
    programs = [memory.unpack("IIQQQQQQ", base + offset + number * size) for number in range(count)]
    loads = [program[3] for program in programs if program is not None and program[0] == 1]
    start = base - (min(loads) & ~0xFFF if loads else 0)
    for program in programs:
        if program is None or program[0] != _PT_NOTE:
            continue
        at, end = start + program[3], start + program[3] + program[6]
        while at + 12 <= end:
            note = memory.unpack("III", at)
            if note is None:
                break
            name_size, value_size, kind = note
            value = at + 12 + (name_size + 3 & ~3)
            if kind == _NT_GNU_BUILD_ID and memory.read(at + 12, 4) == b"GNU\0":
                found = memory.read(value, min(value_size, 64))
                return "" if found is None else found.hex()
            at = value + (value_size + 3 & ~3)
    return ""
