"""A virtual machine of the campaign: parts that can be mutated, and its command line."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

Words = tuple[str, ...]
Pairs = tuple[tuple[str, str], ...]


def with_pair(pairs: Pairs, key: str, value: str | None) -> Pairs:
    """Set *key* in its place or at the end; None takes it out."""
    if value is None:
        return tuple(pair for pair in pairs if pair[0] != key)
    if any(name == key for name, _ in pairs):
        return tuple((name, value if name == key else old) for name, old in pairs)
    return (*pairs, (key, value))


def joined(head: str, pairs: Pairs) -> str:
    """``head,key=value,…`` as QEMU's option text (a comma in a value is doubled)."""
    return ",".join([head, *(f"{key}={value.replace(',', ',,')}" for key, value in pairs)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One ``-device`` with the options that it needs before it (backends).

    :ivar kind: name of its :class:`~migratable.campaign.kinds.Kind`.
    """

    kind: str
    driver: str
    name: str
    props: Pairs = ()
    backends: tuple[Words, ...] = ()

    @property
    def words(self) -> Words:
        """Its options as words."""
        text = joined(self.driver, (("id", self.name), *self.props))
        return (*(word for backend in self.backends for word in backend), "-device", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """A command line in parts.

    :ivar family: ``pc-i440fx``, ``pc-q35`` or ``pseries``.
    """

    arch: str
    family: str
    machine: str
    machine_props: Pairs = ()
    cpu: str = ""
    memory: str = "256M"
    smp: str = ""
    defaults: bool = False
    devices: tuple[Device, ...] = ()
    global_props: tuple[str, ...] = ()
    options: tuple[Words, ...] = ()

    @property
    def argv(self) -> list[str]:
        """Arguments behind the program."""
        words = ["-machine", joined(self.machine, self.machine_props)]
        if self.cpu:
            words += ["-cpu", self.cpu]
        words += ["-m", self.memory]
        if self.smp:
            words += ["-smp", self.smp]
        if not self.defaults:
            words += ["-nodefaults"]
        words += ["-display", "none"]
        for text in self.global_props:
            words += ["-global", text]
        for option in self.options:
            words += option
        for device in self.devices:
            words += device.words
        return words

    def text(self) -> str:
        """The arguments for a shell."""
        return shlex.join(self.argv)
