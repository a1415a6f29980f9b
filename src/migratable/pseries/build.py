"""A QEMU build as far as the pseries machine goes: an upstream release, or one made from it.

The facts are data (``facts/*.toml``); :func:`release` reads them. A downstream build or a planned
change is an upstream :class:`Build` with some of its parts replaced.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from migratable.errors import CommandLineError
from migratable.facts import ppc
from migratable.facts.ppc import CompatMode, CpuModel
from migratable.printable import quoted
from migratable.pseries.capability import (
    SENT_RULES,
    Capability,
    Check,
    Version,
    parse_version,
)

PREFIX = "pseries-"
IcMode = Literal["legacy", "xics", "xive", "dual"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine type of one build. ``name`` is full: ``pseries-4.1``."""

    name: str
    version: Version
    ic_mode: IcMode
    default_cpu: str
    deprecated: bool

    @property
    def short(self) -> str:
        """The name without ``pseries-``."""
        return self.name.removeprefix(PREFIX)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Build:
    """The facts of a QEMU build that decide whether a pseries guest loads (TCG).

    Two builds are the same only when they are the same object: caches hang on that.

    :ivar name: what a user calls it: ``4.1``, or a downstream build's own name.
    :ivar origin: ``run``, ``source`` or ``interpolated`` (not verified), see facts/releases.toml.
    :ivar since: switches of behaviour by name, the first release that has each.
    """

    name: str
    release: Version
    origin: str
    capabilities: tuple[Capability, ...]
    machines: Mapping[str, Machine]
    models: Mapping[str, CpuModel]
    aliases: Mapping[str, str]
    other_models: frozenset[str]
    modes: Mapping[str, CompatMode]
    since: Mapping[str, Version]

    def __repr__(self) -> str:
        """Short: the tables would fill a page."""
        return f"<Build {self.name}>"

    def has(self, switch: str) -> bool:
        """Has this build the behaviour *switch* (a key of facts/releases.toml ``[since]``)?"""
        return self.release >= self.since[switch]

    @property
    def verified(self) -> bool:
        """Was a program or the source of this release looked at?"""
        return self.origin != "interpolated"

    def newest(self) -> Machine:
        """The machine type behind the alias ``pseries``."""
        return max(self.machines.values(), key=lambda machine: machine.version)

    def can_run(self, mode: str, model: CpuModel, limit: CompatMode | None) -> bool:
        """``pcc_compat`` of target/ppc/compat.c: can *model*, within *limit*, run *mode*?"""
        wanted = self.modes.get(mode)
        if wanted is None or (limit is not None and wanted.order > limit.order):
            return False
        return ppc.can_run(wanted, model.family, logical_pvr_test=self.has("logical_pvr_test"))

    @functools.cached_property
    def by_subsection(self) -> dict[str, Capability]:
        """Capabilities by the name of their subsection on the wire, only those that have one."""
        return {cap.subsection: cap for cap in self.capabilities if cap.subsection}

    @functools.cached_property
    def by_property(self) -> dict[str, tuple[int, Capability]]:
        """Place in :attr:`Build.capabilities` and capability, by machine property."""
        return {cap.property_name: (index, cap) for index, cap in enumerate(self.capabilities)}

    def capability(self, name: str) -> Capability:
        """The capability of that name.

        :raise CommandLineError: When this build has none of that name.
        """
        for cap in self.capabilities:
            if cap.name == name:
                return cap
        raise CommandLineError(f"QEMU {self.name} has no capability {quoted(name)}")


def _facts(name: str) -> dict[str, Any]:
    # not by importlib.resources, which imports much
    text = Path(__file__).with_name("facts").joinpath(name).read_text("utf-8")
    return tomllib.loads(text)


@functools.cache
def _data() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    return _facts("releases.toml"), _facts("capabilities.toml"), ppc.data()


def _within(release: Version, first: str, last: str) -> bool:
    return (not first or release >= parse_version(first)) and (
        not last or release <= parse_version(last)
    )


def _first_match(rules: Iterable[Mapping[str, Any]], version: Version) -> Mapping[str, Any]:
    return next(rule for rule in rules if "to" not in rule or version <= parse_version(rule["to"]))


def _capability(raw: Mapping[str, Any], release: Version) -> Capability:
    sent = next(
        (rule["rule"] for rule in raw.get("sent", ()) if _within(release, *rule["range"])),
        "changed",
    )
    lost = [rule["mode"] for rule in raw.get("lost", ()) if _within(release, rule["since"], "")]
    return Capability(
        name=raw["name"],
        index=raw["index"],
        kind=raw["kind"],
        subsection="" if sent == "never" else raw["subsection"],
        description=raw["description"],
        help=raw.get("help", ""),
        values=tuple(raw.get("values", ())),
        defaults=tuple(
            (parse_version(rule["to"]) if "to" in rule else None, rule["level"])
            for rule in raw["default"]
        ),
        special=dict(raw.get("special", {})),
        lost=lost[0] if lost else None,
        checks=tuple(
            Check(**{key: value for key, value in check.items() if key != "range"})
            for check in raw.get("apply", ())
            if _within(release, *check["range"])
        ),
        sent=SENT_RULES[sent],
    )


def _machines(release: Version) -> dict[str, Machine]:
    facts = _data()[0]
    found = {}
    for short in facts["machines"]["names"]:
        version = parse_version(short)
        gone = next(
            (
                rule["last"]
                for rule in facts["machines"]["until"]
                if version <= parse_version(rule["to"])
            ),
            "",
        )
        if version > release or not _within(release, "", gone):
            continue
        found[PREFIX + short] = Machine(
            name=PREFIX + short,
            version=version,
            ic_mode=_first_match(facts["ic_mode"]["rules"], version)["mode"],
            default_cpu=_first_match(facts["default_cpu"]["rules"], version)["cpu"],
            # include/hw/boards.h MACHINE_VER_DEPRECATION: three years, a major release a year
            deprecated=release >= (9, 1) and release >= (version[0] + 3, version[1]),
        )
    return found


def _models(release: Version) -> tuple[dict[str, CpuModel], dict[str, str], frozenset[str]]:
    facts = _data()[2]
    models = ppc.models(release)
    aliases = {
        alias: rule["model"]
        for alias, rules in facts["alias"].items()
        for rule in rules
        if _within(release, rule.get("since", ""), rule.get("to", ""))
        and rule["model"] in models
        and alias not in models
    }
    other = frozenset(
        name
        for group in facts["other"]
        if _within(release, *group["range"])
        for name in group["names"].split()
    )
    return models, aliases, other


def releases() -> tuple[str, ...]:
    """Every release that the facts cover, oldest first."""
    return tuple(sorted(_data()[0]["origin"], key=parse_version))


@functools.cache
def _release(version: Version) -> Build:
    facts, caps, cpus = _data()
    name = f"{version[0]}.{version[1]}"
    if name not in facts["origin"]:
        known = releases()
        raise CommandLineError(
            f"the pseries machine of QEMU {name} is not known: releases {known[0]} to {known[-1]} "
            f"are ({', '.join(known)})"
        )
    models, aliases, other = _models(version)
    return Build(
        name=name,
        release=version,
        origin=facts["origin"][name],
        capabilities=tuple(
            _capability(raw, version)
            for raw in sorted(caps["capability"], key=lambda raw: int(raw["index"]))
            if _within(version, raw["since"], "")
        ),
        machines=_machines(version),
        models=models,
        aliases=aliases,
        other_models=other,
        modes=ppc.modes(version),
        since={
            switch: parse_version(first)
            for switch, first in {**facts["since"], **cpus["since"]}.items()
        },
    )


def release(name: str) -> Build:
    """The upstream release *name* (``"4.1"``; a micro version is read and dropped).

    :raise CommandLineError: When it is no release, or not one from 4.0 to 11.1.
    """
    return _release(parse_version(name))
