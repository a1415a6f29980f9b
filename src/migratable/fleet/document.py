"""Files of ``migratable.matrix/1``: read a written file; write it completely or not at all."""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from migratable.errors import PlanError
from migratable.fleet.cells import State
from migratable.fleet.matrix import SCHEMA
from migratable.fleet.matrix import status_of as counted_status
from migratable.printable import quoted
from migratable.regular_file import open_regular

_LIMIT = 1 << 30


def write_whole(path: Path, parts: Iterable[str]) -> None:
    """Write a file; the old one stays whole until the new one is.

    :raise PlanError: When it cannot be written.
    """
    # In a folder of several users no link of another's is followed.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("x", encoding="utf-8", errors="replace") as file:
            for part in parts:
                file.write(part)
        partial.replace(path)
    except OSError as error:
        raise PlanError(f"cannot write {path}: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def read_document(path: Path) -> Mapping[str, Any]:
    """Read a result.

    :raise PlanError: When it cannot be read or is no whole result, with the place.
    """
    try:
        if path.stat().st_size > _LIMIT:
            raise PlanError(f"{path}: more than {_LIMIT} bytes")
        with open_regular(path) as file:
            document = json.loads(file.read(_LIMIT))
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise PlanError(f"{path}: not JSON: {error}") from None
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise PlanError(
            f"{path}: schema {quoted(schema)}; this command reads {SCHEMA!r}, the JSON that it "
            "wrote, or a fleet's TOML file"
        )
    try:
        _check(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PlanError(f"{path}: damaged: {type(error).__name__} {error}") from None
    found: Mapping[str, Any] = document
    return found


def _check(document: Mapping[str, Any]) -> None:
    """Look at the parts that reports rely on."""
    width, answers = len(document["hosts"]), len(document["answers"])
    for line in (*document["vms"], *document["hosts"]):
        if not isinstance(line["name"], str) or not isinstance(line["group"], str):
            raise TypeError("a name is not a string")
        dict(line["facts"])
    for answer in document["answers"]:
        if State(answer["state"]) is State.NONE:
            continue
        for finding in answer["verdict"]["findings"]:
            (finding["rule"], finding["severity"], finding["stderr"], finding["hints"])
        list(answer["verdict"]["unchecked"])
    if len(document["cells"]) != len(document["vms"]):
        raise ValueError("cells: not a row for each VM")
    for index, row in enumerate(document["cells"]):
        if len(row) != width or not all(type(one) is int and 0 <= one < answers for one in row):
            raise ValueError(f"cells[{index}]: not an answer for each host")
    list(document["causes"]["ranked"])


def status_of(document: Mapping[str, Any]) -> int:
    """Exit status of a result: as :attr:`migratable.fleet.matrix.Matrix.exit_status`."""
    compared = document.get("releases")
    if compared:
        return int(bool(compared["broken_by_last"]))
    return counted_status(document["counts"], document.get("way_back"))
