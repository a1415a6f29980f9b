"""Processors of ppc64: models, families, compatibility modes, and which pass for the same.

The data with its origin is in ``ppc_cpus.toml``. A release that is newer than the newest one there
has what that one has.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migratable.releases import Release, release_of

SPR_PVR = 287
"""The processor version register's place in ``env.spr`` (target/ppc/cpu.h)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A processor family: compat levels, instruction features, logical PVR."""

    name: str
    levels: frozenset[str]
    features: frozenset[str]
    logical_pvr: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuModel:
    """A processor model with its processor version register."""

    name: str
    pvr: int
    family: Family


@dataclass(frozen=True, slots=True, kw_only=True)
class CompatMode:
    """A value of ``max-cpu-compat``; ``order`` is the place in ``compat_table``."""

    name: str
    pvr: int
    level: str
    order: int


@functools.cache
def data() -> dict[str, Any]:
    """The file."""
    # not by importlib.resources, which imports much
    return tomllib.loads(Path(__file__).with_name("ppc_cpus.toml").read_text("utf-8"))


def within(release: Release, first: str, last: str) -> bool:
    """Whether a release is in a range; an empty bound is open."""
    return (not first or release >= release_of(first)) and (not last or release <= release_of(last))


def has(switch: str, release: Release) -> bool:
    """Whether a release has a behaviour of ``[since]``."""
    return release >= release_of(data()["since"][switch])


@functools.cache
def families() -> Mapping[str, Family]:
    """All families by name."""
    return {
        name: Family(
            name=name,
            levels=frozenset(raw["levels"]),
            features=frozenset(raw["features"]),
            logical_pvr=raw["logical_pvr"],
        )
        for name, raw in data()["family"].items()
    }


def models(release: Release) -> dict[str, CpuModel]:
    """A release's models by name."""
    return {
        raw["name"]: CpuModel(name=raw["name"], pvr=raw["pvr"], family=families()[raw["family"]])
        for raw in data()["model"]
        if within(release, raw.get("since", ""), raw.get("until", ""))
    }


def modes(release: Release) -> dict[str, CompatMode]:
    """A release's compatibility modes by name, oldest first."""
    known = [raw for raw in data()["mode"] if within(release, raw["since"], "")]
    return {
        raw["name"]: CompatMode(name=raw["name"], pvr=raw["pvr"], level=raw["level"], order=order)
        for order, raw in enumerate(known)
    }


def can_run(mode: CompatMode, family: Family, *, logical_pvr_test: bool) -> bool:
    """``target/ppc/compat.c: pcc_compat``: can a processor run in a mode?"""
    if logical_pvr_test and mode.pvr > family.logical_pvr:
        return False
    return mode.level in family.levels


def model_of(pvr: int, release: Release) -> CpuModel | None:
    """The model of this very PVR, else the one nearest to it of the same processor."""
    alike = [model for model in models(release).values() if model.pvr >> 16 == pvr >> 16]
    return min(alike, key=lambda model: abs(model.pvr - pvr), default=None)


def name_of(pvr: int) -> str:
    """Name of the model of this very PVR in whichever release knows it; empty without one."""
    return next((str(raw["name"]) for raw in reversed(data()["model"]) if raw["pvr"] == pvr), "")


#: Upper halves of the PVR by processor family; every other family takes its own PVR alone.
_GROUPS: Mapping[str, frozenset[int]] = {
    "POWER7": frozenset({0x003F, 0x004A}),
    "POWER8": frozenset({0x004B, 0x004C, 0x004D}),
    "POWER9": frozenset({0x004E}),
    "POWER10": frozenset({0x0080}),
    "POWER11": frozenset({0x0082}),
}


def family_of(pvr: int) -> str:
    """Name of the family that takes more than its own PVR, empty for others."""
    return next((name for name, bases in _GROUPS.items() if pvr >> 16 in bases), "")


def pvr_match(pvr: int, ours: int, family: str, *, exact: bool, by_revision: bool) -> bool:
    """``pvr_match`` of target/ppc/cpu_init.c: may a processor of *pvr* become one of *ours*?

    :param exact: the release asks for the best match (switch ``exact_pvr_match``).
    :param by_revision: it tells POWER9's revisions (switch ``pvr_match_by_revision``).
    """
    if pvr == ours:
        return True
    if family not in _GROUPS:
        return False
    if not exact:
        return pvr >> 16 in _GROUPS[family] and family != "POWER11"
    if pvr >> 16 != ours >> 16:
        return False
    if family in {"POWER7", "POWER8"}:
        return True
    if pvr & 0x0F00 != ours & 0x0F00:
        return False
    if family == "POWER9" and by_revision:
        if pvr & 0x0F00 != 0x200:
            return False
        return (ours & 0xF == 0) if pvr & 0xF < 2 else (ours & 0xF == 2)
    return True
