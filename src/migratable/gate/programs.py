"""QEMU programs to compare, with their machine types and devices."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migratable.commandline import parse
from migratable.errors import PlanError, QemuError
from migratable.qemu import program_facts
from migratable.qemu.launch import answers
from migratable.qemu.program import Program as StartedProgram
from migratable.qemu.program import program_release
from migratable.qemu.qmp import QmpError
from migratable.qemu.start import inert_start
from migratable.releases import QemuVersion

_ALIAS = re.compile(r"\(alias of [^)]+\)$")
_DEVICE = re.compile(r'^name "(?P<name>[^"]+)"(?:, bus (?P<bus>[^,]+))?')
_CATEGORY = re.compile(r"^(\S.*) devices:$")
_FORM = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A line of ``-device help``.

    :ivar bus: type of bus that it plugs into; empty when it needs none.
    :ivar properties: name to type, of those that can be set.
    """

    name: str
    bus: str = ""
    category: str = ""
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One QEMU.

    :ivar label: its release, or the name that the user gave it.
    :ivar machines: canonical machine types, in its own order.
    """

    label: str
    command: tuple[str, ...]
    version: QemuVersion
    machines: tuple[str, ...]
    devices: Mapping[str, Device]


def program(word: str, arch: str) -> Program:
    """Ask a program what it has; the answer is kept for each program file.

    :param word: a lab release (``10.0``), a program (``/build/qemu-system-x86_64``), or
        ``NAME=PROGRAM``.
    :raise PlanError: When it is none of these.
    :raise MigratableError: When the program cannot be asked.
    """
    label, equals, path = word.partition("=")
    path = path if equals else (word if "/" in word else "")
    if path:
        if not Path(path).is_file():
            raise PlanError(f"--releases {word}: no program {path}")
        command: tuple[str, ...] = (str(Path(path).resolve()),)
    else:
        from migratable.lab import find  # noqa: PLC0415 -- not for programs by path

        command = tuple(find(word, arch).command)
    version = program_release(command)
    if version is None:
        raise PlanError(f"--releases {word}: the program does not say its version")
    kept = program_facts.path(command, f".devices-{_FORM}")
    try:
        found = json.loads(kept.read_text("utf-8"))
    except (OSError, ValueError):
        found = _ask(command)
        with contextlib.suppress(OSError):  # no cache is no failure
            program_facts.keep(kept, json.dumps(found).encode())
    return Program(
        label=label if equals or not path else str(version),
        command=command,
        version=version,
        machines=tuple(found["machines"]),
        devices={row[0]: _device(row) for row in found["devices"]},
    )


def _device(row: list[Any]) -> Device:
    name, bus, category, properties = row
    return Device(name=name, bus=bus, category=category, properties=properties)


def _ask(command: tuple[str, ...]) -> dict[str, Any]:
    devices = list(read_devices(_help(command, "-device")))
    properties = _properties(command, [device.name for device in devices])
    return {
        "machines": read_machines(_help(command, "-machine")),
        "devices": [
            [device.name, device.bus, device.category, properties.get(device.name, {})]
            for device in devices
        ],
    }


def _help(command: tuple[str, ...], option: str) -> str:
    try:
        done = answers([*command, option, "help"], timeout=60)
    except OSError as error:
        raise QemuError(f"{command[-1]} {option} help: {error}") from None
    text = done.stdout or done.stderr
    if done.status is None:
        raise QemuError(f"{command[-1]} {option} help: it did not end within 60 seconds")
    if done.status != 0:
        raise QemuError(f"{command[-1]} {option} help: status {done.status}: {text[:500]}")
    return text


def read_machines(text: str) -> list[str]:
    """Canonical machine types of ``-machine help``, without aliases and ``none``."""
    found = []
    for line in text.splitlines()[1:]:
        name = line.split(maxsplit=1)[0] if line.strip() else ""
        described = name and line.startswith(name) and len(line) > len(name)
        if described and name != "none" and not _ALIAS.search(line.rstrip()):
            found.append(name)
    return found


def read_devices(text: str) -> list[Device]:
    """Devices of ``-device help``; CPU models are not devices to us."""
    found: dict[str, Device] = {}
    category = ""
    for line in text.splitlines():
        head = _CATEGORY.match(line)
        if head:
            category = head[1]
            continue
        match = _DEVICE.match(line)
        if match and category != "CPU":
            found.setdefault(
                match["name"],
                Device(name=match["name"], bus=match["bus"] or "", category=category),
            )
    return list(found.values())


def _properties(command: tuple[str, ...], names: list[str]) -> dict[str, dict[str, str]]:
    """Properties of each device, asked from a machine that has none of them.

    A program dies of a device whose module is not installed; it is started again for the rest.
    """
    found: dict[str, dict[str, str]] = {}
    left = list(names)
    while left:
        before = len(left)
        try:
            _listed(command, left, found)
        except QemuError:
            if len(left) == before:
                raise
    return found


def _listed(command: tuple[str, ...], left: list[str], found: dict[str, dict[str, str]]) -> None:
    """Take names off *left* as they are asked; stop where the program does."""
    line = parse([*command, "-machine", "none", "-nodefaults"])
    known = StartedProgram(command=command)
    with inert_start(line, program=known) as start, start.process() as qemu:
        while left:
            name = left.pop(0)
            try:
                rows = qemu.qmp("device-list-properties", typename=name)
            except QmpError:
                continue  # an alias: the device is there by its own name too
            found[name] = {str(row["name"]): str(row["type"]) for row in rows}
