"""Read untrusted TOML within limits; every fault raises the same kind of error."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from migratable.errors import PlanError
from migratable.regular_file import open_regular

PROJECT = "migratable.toml"
_LONG_KEY = re.compile(r"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){100}")
"""A dotted key costs the square of its parts."""


def find_project(start: Path) -> Path | None:
    """Look for the file in *start* and the folders above it; another user's decides nothing."""
    for folder in (start, *start.parents):
        path = folder / PROJECT
        if path.is_file() and path.stat().st_uid in {0, os.geteuid()}:
            return path
    return None


def read_toml(path: Path, *, limit: int, what: str) -> dict[str, Any]:
    """Read a file.

    :param limit: bytes.
    :param what: such a file, for messages: ``a project file``.
    :raise PlanError: When it cannot be read or is no TOML.
    """
    try:
        with open_regular(path) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > limit:
        raise PlanError(f"{path}: more than {limit} bytes are too many for {what}")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PlanError(f"{path}: {error}") from None
    return parse_toml(text, name=str(path))


def parse_toml(text: str, *, name: str) -> dict[str, Any]:
    """Read text.

    :param name: where it is from, for messages.
    :raise PlanError: When it is no TOML.
    """
    if _LONG_KEY.search(text):
        raise PlanError(f"{name}: a key of a hundred parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise PlanError(f"{name}: nested too deep") from None
    except ValueError as error:  # TOMLDecodeError, and numbers of thousands of digits
        raise PlanError(f"{name}: no TOML: {error}") from None
