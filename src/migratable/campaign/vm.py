"""A virtual machine of the campaign: parts that can be mutated, and its command line."""

from __future__ import annotations

import json
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


def _json_value(text: str) -> bool | int | str:
    """A value with the type that a QMP object would have it in."""
    if text in ("on", "off"):
        return text == "on"
    return int(text) if text.isdecimal() else text


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

    def words(self, *, as_json: bool = False) -> Words:
        """Its options as words."""
        pairs = (("id", self.name), *self.props)
        text = joined(self.driver, pairs)
        if as_json:
            members = {key: _json_value(value) for key, value in pairs}
            text = json.dumps({"driver": self.driver, **members})
        return (*(word for backend in self.backends for word in backend), "-device", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vm:
    """A command line in parts.

    :ivar family: ``pc-i440fx``, ``pc-q35`` or ``pseries``.
    :ivar json: write devices as JSON.
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
    json: bool = False

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
            words += device.words(as_json=self.json)
        return words

    def text(self) -> str:
        """The arguments for a shell."""
        return shlex.join(self.argv)
