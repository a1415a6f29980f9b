"""The one file that a host gets: the parts of this package that run there, and their data.

Deterministic: the same sources give the same bytes, so that its hash names it.
"""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_LEFT_OUT = frozenset(
    {"cli", "serve", "report", "campaign", "gate", "fleet", "checks", "route", "bundled", "plans"}
)
"""Folders that no operation of a host imports."""
_ASKING = frozenset(
    f"migratable/hosts/{name}.py"
    for name in (
        "address",
        "answers",
        "bootstrap",
        "bundle",
        "connection",
        "fleet",
        "needs",
        "preflight",
        "way_back",
    )
)
"""The side that asks."""
_KEPT = (".py", ".toml", ".txt", ".json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The file.

    :ivar digest: SHA-256 of it, hexadecimal.
    """

    data: bytes
    digest: str


@functools.cache
def bundle() -> Bundle:
    """Pack the package that is running, wherever it was installed."""
    files = dict(_files(resources.files("migratable"), "migratable/"))
    files.update(_toml_reader())
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            archive.writestr(info, files[name], zipfile.ZIP_DEFLATED, 9)
    data = out.getvalue()
    return Bundle(data=data, digest=hashlib.sha256(data).hexdigest())


def _files(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for one in folder.iterdir():
        if one.is_dir():
            if one.name not in _LEFT_OUT and one.name != "__pycache__":
                found += _files(one, f"{prefix}{one.name}/")
        elif one.name.endswith(_KEPT) and prefix + one.name not in _ASKING:
            found.append((prefix + one.name, one.read_bytes()))
    return found


def _toml_reader() -> dict[str, bytes]:
    """Take this Python's own ``tomllib``, for hosts whose Python has none (before 3.11)."""
    package = resources.files("tomllib")
    return {
        f"before-3.11/tomllib/{one.name}": one.read_bytes()
        for one in package.iterdir()
        if one.name.endswith(".py")
    }
