"""What code stands behind the tables of the builds that were gone through.

``code.json`` has, for each description, the hooks that run while it is loaded and the fields whose
existence is decided by a function, with the releases that have them (bits in the order of
``releases``). ``builds.toml`` has the builds themselves. Both are written by
``tools/write_code_facts.py`` from the lab's programs.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Protocol

#: Hooks that run while a description is loaded, by the name that a fact has; two forms are one.
HOOKS: Mapping[str, str] = {
    "pre_load": "pre_load",
    "pre_load_errp": "pre_load",
    "post_load": "post_load",
    "post_load_errp": "post_load",
    "load_old": "load_old",
}
TESTS = "tests"
_MUST_EXIST = 0x1000


class Field(Protocol):
    """What a fact takes from a field."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def info(self) -> str:
        """Its type's name."""

    @property
    def flags(self) -> int:
        """``enum VMStateFlags``."""

    @property
    def test(self) -> int:
        """Its ``field_exists``, 0 without one."""


def fact_of_field(field: Field) -> str:
    """How a field with a test is called: its name, and whether it validates."""
    return ("!" if field.flags & _MUST_EXIST else "") + field.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """The manifest.

    :ivar releases: in ascending order.
    :ivar hooks: hook to releases (bits), by description; :ivar tests: the same of fields.
    """

    releases: tuple[tuple[int, int], ...]
    hooks: Mapping[str, Mapping[str, int]]
    tests: Mapping[str, Mapping[str, int]]

    def near(self, release: tuple[int, int]) -> int:
        """Bits of the releases whose code tells about *release*: itself, or its neighbours."""
        known = self.releases
        if release in known:
            return 1 << known.index(release)
        below = [number for number, one in enumerate(known) if one < release]
        above = [number for number, one in enumerate(known) if one > release]
        return sum(1 << number for number in (*below[-1:], *above[:1]))

    def novelties(
        self, name: str, hooks: frozenset[str], fields: tuple[Field, ...], release: tuple[int, int]
    ) -> Iterator[str]:
        """What a description has that the builds near to *release* do not have, in words."""
        near = self.near(release)
        known = self.hooks.get(name, {})
        for hook in sorted({HOOKS[one] for one in hooks if one in HOOKS}):
            if not known.get(hook, 0) & near:
                yield f"{name} has a {hook} hook"
        tested = self.tests.get(name, {})
        for field in fields:
            if field.test and not tested.get(fact_of_field(field), 0) & near:
                what = "validator" if field.flags & _MUST_EXIST else "test"
                yield f"{name}:{field.name} has a {what}"


@cache
def code() -> Code:
    """Read the manifest; kept."""
    text = resources.files("migratable.facts").joinpath("code.json").read_text(encoding="utf-8")
    document = json.loads(text)
    pairs = (one.split(".") for one in document["releases"])
    return Code(
        releases=tuple((int(major), int(minor)) for major, minor in pairs),
        hooks=document["hooks"],
        tests=document[TESTS],
    )


@cache
def builds() -> Mapping[str, tuple[str, str, str]]:
    """Release, target and package of each known build, by build-id."""
    text = resources.files("migratable.facts").joinpath("builds.toml").read_text(encoding="utf-8")
    return {key: (value[0], value[1], value[2]) for key, value in tomllib.loads(text).items()}


def is_known(build_id: str | None) -> bool:
    """Whether the code of a build was gone through."""
    return bool(build_id) and build_id in builds()
