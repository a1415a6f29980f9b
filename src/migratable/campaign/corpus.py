"""A pair and what real QEMU did with it as a small file: disagreements that were mended.

The stream is not kept; it is made again from the source's command line where the release is there.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

from migratable.campaign.cache import Outcome
from migratable.campaign.case import Side
from migratable.campaign.judge import errors
from migratable.errors import PlanError


def dumps(outcome: Outcome, *, found: str = "") -> str:
    """The file's text.

    :param found: what had been predicted, and why it was wrong.
    """

    def words(values: tuple[str, ...]) -> str:
        return "[" + ", ".join(json.dumps(value, ensure_ascii=False) for value in values) + "]"

    source, destination = outcome.source, outcome.destination
    lines = outcome.start if outcome.status == "no-start" else outcome.lines
    return "\n".join(
        (
            f"found = {json.dumps(found, ensure_ascii=False)}",
            f"status = {json.dumps(outcome.status)}",
            f"lines = {words(errors(lines))}",
            "",
            "[source]",
            f"release = {json.dumps(source.release)}",
            f"arch = {json.dumps(source.arch)}",
            f"run = {source.run}",
            f"argv = {words(source.argv)}",
            "",
            "[destination]",
            f"release = {json.dumps(destination.release)}",
            f"arch = {json.dumps(destination.arch)}",
            f"argv = {words(destination.argv)}",
            "",
        )
    )


def load(path: Path) -> Outcome:
    """Read a file of :func:`dumps`; ``lines`` has the error lines alone.

    :raise PlanError: when it is not one.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
        status = str(document["status"])
        lines = tuple(map(str, document["lines"]))
        source, destination = (_side(document[name]) for name in ("source", "destination"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{path}: no case of the campaign: {error!r}") from error
    return Outcome(
        label=path.stem,
        source=source,
        destination=destination,
        status=status,
        start=lines if status == "no-start" else (),
        lines=() if status == "no-start" else lines,
    )


def _side(document: dict[str, object]) -> Side:
    argv = document["argv"]
    if not isinstance(argv, list):
        raise TypeError("argv is no list")
    return Side(
        release=str(document["release"]),
        arch=str(document["arch"]),
        argv=tuple(map(str, argv)),
        run=float(str(document.get("run", 0))),
    )
