"""The kinds of devices and options that machines are made of, and which of them are held out.

The hold-out is a fixed split by name, made by a hash so that nobody chose it: a campaign without
``--held-out`` never makes anything of those kinds, and one with it always does. Rules that were
mended with the former are measured on the latter.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

_HELD_OUT_SHARE = 56  # of 256
_COMMON = 4
_ANYWHERE = frozenset({"", "scsi", "port"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of device; members as ``kinds.toml`` explains them."""

    name: str
    drivers: tuple[str, ...]
    bus: str
    arch: str = ""
    backend: str = ""
    provides: str = ""
    weight: int = 1
    props: dict[str, list[str]] = field(default_factory=dict)
    fixed: dict[str, list[str]] = field(default_factory=dict)

    def fits(self, arch: str) -> bool:
        """Whether a target can have it: s390x has what is made for its channel."""
        if not self.arch:
            return arch != "s390x" or self.bus in _ANYWHERE
        return arch in self.arch.split()


@cache
def _document(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files(__package__) / name).read_text(encoding="utf-8"))


@cache
def kinds() -> dict[str, Kind]:
    """All kinds by name."""
    document = _document("kinds.toml")
    common = document["common"]
    found: dict[str, Kind] = {}
    for name, entry in document.items():
        if name == "common":
            continue
        props: dict[str, list[str]] = dict(entry.get("props", {}))
        for group in entry.get("common", ()):
            props.update(common[group])
        found[name] = Kind(
            name=name,
            drivers=tuple(entry["drivers"]),
            bus=entry["bus"],
            arch=entry.get("arch", ""),
            backend=entry.get("backend", ""),
            provides=entry.get("provides", ""),
            weight=entry.get("weight", 1),
            props={key: values for key, values in props.items() if values},
            fixed=entry.get("fixed", {}),
        )
    return found


def options() -> dict[str, Any]:
    """``options.toml``."""
    return _document("options.toml")


def drivers() -> list[str]:
    """All drivers of all kinds."""
    return [driver for kind in kinds().values() for driver in kind.drivers] + ["xio3130-downstream"]


@cache
def held_out(group: str, name: str) -> bool:
    """Is this kind of device, machine property, option or global only made with ``--held-out``?

    The commonest kinds of devices never are.
    """
    if group == "kind" and kinds()[name].weight >= _COMMON:
        return False
    digest = hashlib.sha256(f"held-out:{group}:{name}".encode()).digest()
    return digest[0] < _HELD_OUT_SHARE
