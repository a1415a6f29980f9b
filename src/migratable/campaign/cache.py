"""What happened on real releases, kept on disk by the hash of releases and command lines.

::

    FOLDER/
      inventory/VERSION-ARCH.json      what a release has
      sources/HASH.json                a source: saved, or why not
      streams/HASH.gz                  what it sent, RAM contents and all
      outcomes/HASH.json               a source with a destination: what QEMU did and printed
      profiles/CODE-HASH.json.gz       profiles of destinations, as the code of CODE took them

A prediction is never kept, so a campaign can be judged again in a fraction of its time.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from migratable.campaign.case import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a real destination did with a real stream.

    :ivar status: ``loads``, ``refused``, ``no-start``, ``crash`` or ``hangs``.
    :ivar start: lines on stderr until the machine stood, without the program's name.
    :ivar lines: lines from then on.
    :ivar exit_status: of the program, None when it went on.
    """

    label: str
    source: Side
    destination: Side
    status: str
    start: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    exit_status: int | None = None

    @property
    def key(self) -> str:
        """The pair's hash."""
        return pair_key(self.source, self.destination)

    def to_json(self) -> dict[str, Any]:
        """One object."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Outcome:
        """Read :meth:`to_json`'s object."""
        members = dict(document)
        for name in ("source", "destination"):
            members[name] = _side(members[name])
        for name in ("start", "lines"):
            members[name] = tuple(members[name])
        return cls(**members)


def _side(document: Mapping[str, Any]) -> Side:
    members = dict(document)
    members["argv"] = tuple(members["argv"])
    members["changes"] = tuple(members["changes"])
    return Side(**members)


def source_key(side: Side) -> str:
    """Hash of a source."""
    return _hash([side.release, side.arch, list(side.argv), side.run])


def pair_key(source: Side, destination: Side) -> str:
    """Hash of a source with a destination."""
    there = [destination.release, destination.arch, list(destination.argv)]
    return _hash([source_key(source), there])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


class Cache:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        """Use *folder*, which is made when something is put into it."""
        self.folder = folder

    def source(self, side: Side) -> dict[str, Any] | None:
        """What became of a source: ``status`` (saved, no-start, blocked, …) and ``lines``."""
        return _read(self.folder / "sources" / f"{source_key(side)}.json")

    def put_source(self, side: Side, document: Mapping[str, Any], stream: bytes | None) -> None:
        """Keep a source and its stream."""
        if stream is not None:
            _write(self.stream_path(side), gzip.compress(stream, 1, mtime=0))
        text = json.dumps({**asdict(side), **document})
        _write(self.folder / "sources" / f"{source_key(side)}.json", text.encode())

    def stream_path(self, side: Side) -> Path:
        """Where a source's stream is, gzip'd."""
        return self.folder / "streams" / f"{source_key(side)}.gz"

    def outcome(self, source: Side, destination: Side) -> Outcome | None:
        """What happened, None when it was not tried."""
        key = pair_key(source, destination)
        document = _read(self.folder / "outcomes" / f"{key}.json")
        return None if document is None else Outcome.from_json(document)

    def put_outcome(self, outcome: Outcome) -> None:
        """Keep what happened."""
        text = json.dumps(outcome.to_json())
        _write(self.folder / "outcomes" / f"{outcome.key}.json", text.encode())

    def outcomes(self) -> Iterator[Outcome]:
        """Everything that happened, in a fixed order."""
        for path in sorted((self.folder / "outcomes").glob("*.json")):
            document = _read(path)
            if document is not None:
                yield Outcome.from_json(document)

    def profile_path(self, name: str) -> Path:
        """Where a profile is kept."""
        return self.folder / "profiles" / f"{name}.json.gz"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _write(path: Path, data: bytes) -> None:
    """Write so that nobody sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    beside.write_bytes(data)
    os.replace(beside, path)  # noqa: PTH105 -- the atomic one


write_atomically = _write
