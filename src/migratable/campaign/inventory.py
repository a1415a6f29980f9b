"""What a release has: machine types, CPU models, devices and their properties. It is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migratable.campaign.process import Qemu
from migratable.lab import Installed
from migratable.qemu.qmp import QmpError

_NAME = re.compile(r'^name "([^"]+)"', re.M)
_VERSIONED = re.compile(r"(pc-i440fx|pc-q35|pseries|virt|s390-ccw-virtio)-(\d+)\.(\d+)(\.\d+)?")
#: Types that stand for themselves where their family has no versions (riscv64).
_PLAIN = ("virt",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """One program's parts.

    :ivar machines: versioned machine types by family, oldest first.
    :ivar machine_props: properties of the machine types, by family.
    :ivar devices: properties that each device takes, by driver; only devices a user may create.
    """

    machines: dict[str, list[str]] = field(default_factory=dict)
    machine_props: dict[str, list[str]] = field(default_factory=dict)
    cpus: list[str] = field(default_factory=list)
    devices: dict[str, list[str]] = field(default_factory=dict)


def take(program: Installed, drivers: Iterable[str], cache: Path) -> Inventory:
    """Ask *program*, or read what it said before.

    :param drivers: the devices whose properties are asked for.
    :raise QemuError: when it does not answer.
    """
    wanted = sorted(set(drivers))
    path = cache / "inventory" / f"{program.version}-{program.arch}.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if known.pop("asked") == wanted:
            return Inventory(**known)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    inventory = _ask(program, wanted)
    path.parent.mkdir(parents=True, exist_ok=True)
    members = {name: getattr(inventory, name) for name in Inventory.__slots__}
    path.write_text(json.dumps({"asked": wanted, **members}), encoding="utf-8")
    return inventory


def _ask(program: Installed, drivers: list[str]) -> Inventory:
    words = ["-machine", "none", "-nodefaults", "-display", "none"]
    with Qemu(program.command, words) as qemu:
        creatable = set(_NAME.findall(qemu.hmp("device_add help") or ""))
        machines: dict[str, list[tuple[tuple[int, ...], str]]] = {}
        for one in qemu.qmp("query-machines"):
            parts = _VERSIONED.fullmatch(one["name"])
            if parts is not None:
                number = tuple(int(part) for part in one["name"].rpartition("-")[2].split("."))
                machines.setdefault(parts[1], []).append((number, one["name"]))
            elif one["name"] in _PLAIN and not one.get("alias"):
                machines.setdefault(one["name"], []).append(((), one["name"]))
        ordered = {
            family: [name for _, name in sorted(names)] for family, names in machines.items()
        }
        props = {
            family: [
                str(prop["name"])
                for prop in qemu.qmp("qom-list-properties", typename=f"{names[-1]}-machine")
            ]
            for family, names in ordered.items()
        }
        cpus = sorted(_cpus(qemu))
        devices: dict[str, list[str]] = {}
        for driver in drivers:
            if creatable and driver not in creatable:
                continue
            found = _properties(qemu, driver)
            if found is not None:
                devices[driver] = found
    return Inventory(machines=ordered, machine_props=props, cpus=cpus, devices=devices)


def _cpus(qemu: Qemu) -> list[str]:
    try:
        return [str(one["name"]) for one in qemu.qmp("query-cpu-definitions")]
    except QmpError:  # riscv64 up to 7.2
        return []


def _properties(qemu: Qemu, driver: str) -> list[str] | None:
    try:
        found: list[dict[str, Any]] = qemu.qmp("device-list-properties", typename=driver)
    except QmpError:  # not in this release
        return None
    return [str(one["name"]) for one in found]
