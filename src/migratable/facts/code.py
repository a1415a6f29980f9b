"""The code behind the tables of the known builds.

``code.json`` has, for each description, the hooks that run while it is loaded and the fields whose
existence is decided by a function, with the releases that have them (bits in the order of
``releases``). ``builds.toml`` has the builds themselves. Both are written by
``tools/write_code_facts.py`` from the lab's programs.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

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
        for hook in sorted({HOOKS[hook] for hook in hooks if hook in HOOKS}):
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
    text = Path(__file__).with_name("code.json").read_text("utf-8")
    document = json.loads(text)
    pairs = (release.split(".") for release in document["releases"])
    return Code(
        releases=tuple((int(major), int(minor)) for major, minor in pairs),
        hooks=document["hooks"],
        tests=document[TESTS],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A build whose code was gone through.

    :ivar digest: SHA-256 of the program, hexadecimal.
    """

    release: str
    target: str
    package: str
    digest: str


@cache
def _document() -> Mapping[str, Any]:
    text = Path(__file__).with_name("builds.toml").read_text("utf-8")
    return tomllib.loads(text)


@cache
def builds() -> Mapping[str, Build]:
    """Each known build by its build-id."""
    return {
        key: Build(release=value[0], target=value[1], package=value[2], digest=value[3])
        for key, value in _document()["programs"].items()
    }


@cache
def _modules(package: str) -> frozenset[str]:
    return frozenset(_document()["modules"].get(package, ()))


def is_known(build_id: str | None, digests: Sequence[str]) -> bool:
    """Whether the code of a program is that of a build which was gone through.

    :param digests: of the program's file and of its modules.
    """
    build = builds().get(build_id or "")
    if build is None or not digests:
        return False
    return digests[0] == build.digest and _modules(build.package).issuperset(digests[1:])
