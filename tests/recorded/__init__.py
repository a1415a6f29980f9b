"""Recorded destinations and what real QEMU said to each pair: the engine's tests without QEMU.

``NAME.json.xz`` are profiles with their loader's tables, made by ``tools/make_recorded.py``; each
one's own stream is a source too, and so are the streams of ``tests/golden/streams`` of the same
board. ``pairs.json`` has for each pair what the real program did (:func:`real`) and what the
replay says of it (:func:`digest`).
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from migratable.profile.model import Profile
from migratable.stream import Stream, read
from migratable.verdict import Verdict

FOLDER = Path(__file__).resolve().parent
STREAMS = FOLDER.parent / "golden" / "streams"
PAIRS = FOLDER / "pairs.json"
SUFFIX = ".json.xz"
#: Golden streams by the board that they are for.
GOLDEN = {
    "q35": ("4.1-pc-q35-4.1", "7.2-q35", "10.0-q35", "11.1-q35"),
    "i440fx": ("5.2-pc-noconf", "5.2-pc-postcopy", "10.0-pc-nofoot", "10.0-pc-xis"),
    "pseries": ("4.1-pseries-4.1-dual", "4.2+mig-cap-num-pseries-4.2-xive", "7.2-pseries"),
}


@cache
def profile(name: str) -> Profile:
    """A recorded destination."""
    text = lzma.decompress((FOLDER / f"{name}{SUFFIX}").read_bytes())
    return Profile.loads(text, origin=name)


def names() -> tuple[str, ...]:
    """All recorded destinations: ``BOARD-RELEASE``, or ``BOARD-RELEASE-SHAPE``."""
    return tuple(sorted(path.name.removesuffix(SUFFIX) for path in FOLDER.glob(f"*{SUFFIX}")))


@cache
def source(name: str) -> Stream:
    """A recorded destination's own stream, or a golden one."""
    if name in names():
        return read(profile(name).stream)
    return read(lzma.decompress((STREAMS / f"{name}.mig.xz").read_bytes()))


def pairs() -> Iterator[tuple[str, str]]:
    """All pairs of a source and a destination of the same board."""
    for destination in names():
        board = destination.partition("-")[0]
        for name in (*names(), *GOLDEN.get(board, ())):
            if name.partition("-")[0] == board or name in GOLDEN.get(board, ()):
                yield name, destination


def recorded() -> dict[str, Any]:
    """What is known of the pairs, by ``SOURCE > DESTINATION``."""
    found: dict[str, Any] = json.loads(PAIRS.read_text(encoding="utf-8"))
    return found


def write(found: dict[str, Any]) -> None:
    """Write ``pairs.json``, a pair on each line."""
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in found.items()]
    PAIRS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def digest(verdict: Verdict) -> dict[str, Any]:
    """A verdict without our own sentences: what it decides, where, and what QEMU prints."""
    first = verdict.first_refusal
    return {
        "outcome": str(verdict.outcome),
        "first": None if first is None else [first.rule, first.device, first.instance_id],
        "stderr": list(verdict.stderr),
        "findings": [
            [f.rule, str(f.severity), f.device, f.instance_id, f.subsection, f.field, *f.stderr]
            for f in verdict.findings
        ],
        "unchecked": len(verdict.unchecked),
    }
