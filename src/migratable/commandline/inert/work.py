"""The context in which a command line is made inert: what is known and what was said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from migratable import redact
from migratable.commandline.line import CommandLine, Option, target_of
from migratable.commandline.option import Fields
from migratable.releases import MachineType, QemuVersion

DISK_SIZE = 1 << 30
FLOPPY_SIZE = 1474560


@lru_cache(maxsize=64)
def _without_secrets(name: str, value: str) -> str:
    return redact.words([f"-{name}", value])[1]


@dataclass(slots=True, kw_only=True)
class Work:
    """Mutable state of one :func:`~migratable.commandline.inert` call.

    :ivar ram_sizes: RAM block name to bytes, from the stream that is to be loaded.
    :ivar why_not_kvm: why *accel* is not the KVM that the line asks for, in words.
    :ivar main_ram: name of the main RAM block, where the program was asked for it.
    :ivar strict: options of the host's side that the release lacks stay, for it to refuse.
    :ivar stays: such an option is there and stays.
    :ivar files: private files to create, with their sizes; they hold zeros.
    :ivar reads: files and folders of the host that QEMU will read, by their full names.
    :ivar nodes, drives: the line's block nodes and drives by name, once they were asked for.
    :ivar assumed_sizes: bytes that images got that are not here and whose size nothing says.
    :ivar assumed_blocks: RAM blocks whose size so is a guess, and why.
    :ivar assumed_sections: last parts of idstrs whose layout so is a guess, and why.
    :ivar assumed_backends: last parts of idstrs whose backend is poorer than the real one, and why.
    :ivar stand_in_cpu: another CPU model stands in for ``-cpu host``.
    """

    line: CommandLine
    release: QemuVersion | None
    private_dir: Path
    ram_sizes: Mapping[str, int]
    accel: str
    netns: bool
    save_memory: bool = True
    why_not_kvm: str = ""
    main_ram: str | None = None
    strict: bool = False
    stays: bool = False
    stand_in_cpu: bool = False
    notes: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    files: dict[Path, int] = field(default_factory=dict)
    reads: set[str] = field(default_factory=set)
    helpers: list[list[str]] = field(default_factory=list)
    removed_devices: set[str] = field(default_factory=set)
    removed_drivers: list[tuple[str, str]] = field(default_factory=list)
    node_sizes: dict[str, int] = field(default_factory=dict)
    nodes: dict[str, dict[str, Any]] | None = None
    drives: dict[str, Fields] = field(default_factory=dict)
    assumed_sizes: set[int] = field(default_factory=set)
    assumed_blocks: dict[str, str] = field(default_factory=dict)
    assumed_sections: dict[str, str] = field(default_factory=dict)
    assumed_backends: dict[str, str] = field(default_factory=dict)
    needs_netns: bool = False
    taps: int = 0
    graphics_off: bool = False
    hubs: int = 100
    flash_drives: int = 0

    @classmethod
    def of(cls, line: CommandLine) -> Work:
        """For a line that is only looked at."""
        return cls(
            line=line, release=None, private_dir=Path(), ram_sizes={}, accel="tcg", netns=False
        )

    def note(self, option: Option, text: str) -> None:
        """Say what an option was replaced by."""
        value = _without_secrets(option.name, option.value or "")
        short = value if len(value) <= 60 else value[:60] + "…"
        self.notes.append(f"-{option.name} {short}".rstrip() + f": {text}")

    def host_cpu(self) -> None:
        """Say that another CPU stands in for the destination's own (``-cpu host``)."""
        self.stand_in_cpu = True
        self.skip("section 'cpu': -cpu host is the destination's own processor")

    def skip(self, text: str) -> None:
        """Say what cannot be examined now; every text once."""
        if text not in self.unchecked:
            self.unchecked.append(text)

    def older_than(self, major: int, minor: int) -> bool:
        """Is the program known to be older than that release?"""
        return self.release is not None and self.release.release < (major, minor)

    def lacks(self, *since: int, before: tuple[int, int] | None = None) -> bool:
        """Whether an option of the host's side has to stay, as the release refuses it.

        :param since: the release that brought it.
        :param before: the release that took it away.
        """
        if self.release is None or not self.strict:
            return False
        here = self.release.release
        found = (bool(since) and here < since) or (before is not None and here >= before)
        self.stays = self.stays or found
        return found

    @property
    def architecture(self) -> str:
        """Target from the program's name: ``x86_64``, ``ppc64``; empty when it does not tell."""
        return target_of(self.line)

    @property
    def machine_version(self) -> tuple[int, int] | None:
        """Version in the machine type's name, None for aliases, which mean the newest."""
        name = (self.line.machine or "").partition("+")[0]
        return MachineType.parse(name).version

    def private_file(self, name: str, size: int) -> Path:
        """Plan a private file of zeros."""
        path = self.private_dir / name
        self.files[path] = size
        return path
