"""What QEMU's releases do differently while they load; the data is in ``behaviour.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from migratable.releases import Release, release_of


@cache
def _document() -> Mapping[str, Any]:
    return tomllib.loads(Path(__file__).with_name("behaviour.toml").read_text("utf-8"))


@cache
def _range(name: str) -> tuple[Release | None, Release | None]:
    entry = _document()["behaviour"][name]
    first, last = entry.get("first"), entry.get("last")
    return first and release_of(first), last and release_of(last)


def behaves(release: Release, name: str) -> bool:
    """Whether a release does what the behaviour *name* is.

    :raise KeyError: when there is no such behaviour.
    """
    first, last = _range(name)
    return (first is None or first <= release) and (last is None or release <= last)


def known(name: str) -> bool:
    """Whether there is a behaviour of that name."""
    return name in _document()["behaviour"]


def assertion(release: Release, name: str) -> dict[str, str | int] | None:
    """Where an assertion stands in a release: ``file``, ``line``; None when that is not known.

    :raise KeyError: when there is no such assertion.
    """
    entry = _document()["assertion"][name]
    place = entry.get(f"{release[0]}.{release[1]}", entry.get("otherwise"))
    if place is None:
        return None
    file, _, line = place.rpartition(":")
    return {"file": file, "line": int(line)}
