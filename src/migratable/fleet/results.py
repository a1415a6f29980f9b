"""Results of rehearsals in one SQLite file, so that no finished rehearsal is repeated.

The key of a rehearsal is made from all that it depends on, so an old file answers only for what
has not changed: the stream, the command line, the program's files, this program's version.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from migratable.errors import PlanError
from migratable.members import read
from migratable.unchecked import Code, Unchecked
from migratable.verdict import (
    Verdict,
)

_APPLICATION = 0x6D696772  # "migr"
_TABLE = """CREATE TABLE IF NOT EXISTS rehearsals (
    key TEXT PRIMARY KEY,
    verdict TEXT,
    failure TEXT,
    worker TEXT NOT NULL,
    seconds REAL NOT NULL,
    finished TEXT NOT NULL
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one rehearsal ended.

    :ivar verdict: None when there is none; then :attr:`failure` says why.
    :ivar worker: where it was done.
    """

    key: str
    verdict: Verdict | None = None
    failure: str = ""
    worker: str = ""
    seconds: float = 0.0


class Results:
    """The file, as a context manager.

    :raise PlanError: From every method, when the file cannot be used, with its path.
    """

    def __init__(self, path: Path) -> None:
        """Use *path*; nothing is opened yet."""
        self.path = path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        """Open or make the file."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            # In autocommit mode, each put is written at once.
            self._connection = sqlite3.connect(self.path, timeout=10.0, isolation_level=None)
            (application,) = self._connection.execute("PRAGMA application_id").fetchone()
            (tables,) = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            foreign = application != _APPLICATION and tables
            if not (foreign or application):
                self._connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                self._connection.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            self.close()
            raise PlanError(f"{self.path}: {error}") from None
        if foreign:
            self.close()
            raise PlanError(f"{self.path}: a database of something else; name another file")
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def put(self, result: Result) -> None:
        """Keep a result. The first one with a verdict stays: a pair is in the file once."""
        verdict = None if result.verdict is None else json.dumps(result.verdict.to_json())
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        row = (result.key, verdict, result.failure, result.worker, result.seconds, now)
        self._execute(
            "INSERT INTO rehearsals VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
            "verdict = excluded.verdict, failure = excluded.failure, worker = excluded.worker, "
            "seconds = excluded.seconds, finished = excluded.finished WHERE verdict IS NULL",
            row,
        )

    def get(self, key: str) -> Result | None:
        """The result of that key."""
        query = "SELECT verdict, failure, worker, seconds FROM rehearsals WHERE key = ?"
        rows = self._execute(query, (key,))
        if not rows:
            return None
        text, failure, worker, seconds = rows[0]
        try:
            verdict = None if text is None else from_json(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise PlanError(f"{self.path}: rehearsal {key} is damaged: {error}") from None
        return Result(key=key, verdict=verdict, failure=failure, worker=worker, seconds=seconds)

    def done(self) -> set[str]:
        """Keys with a verdict; failures are tried again."""
        query = "SELECT key FROM rehearsals WHERE verdict IS NOT NULL"
        return {str(key) for (key,) in self._execute(query)}

    def forget(self, keys: Iterable[str]) -> None:
        """Remove results, to do them anew."""
        assert self._connection is not None
        with contextlib.closing(self._connection.cursor()) as cursor:
            try:
                cursor.execute("BEGIN IMMEDIATE")
                rows = ((key,) for key in keys)
                cursor.executemany("DELETE FROM rehearsals WHERE key = ?", rows)
                cursor.execute("COMMIT")
            except sqlite3.Error as error:
                raise PlanError(f"{self.path}: {error}") from None

    def _execute(self, query: str, row: tuple[Any, ...] = ()) -> list[Any]:
        assert self._connection is not None
        try:
            return self._connection.execute(query, row).fetchall()
        except sqlite3.Error as error:
            raise PlanError(f"{self.path}: {error}; if it is damaged, move it away") from None


def from_json(document: Mapping[str, Any]) -> Verdict:
    """Read :meth:`Verdict.to_json`'s object.

    :raise ValueError: when a word is not one of its kind, or a part is missing.
    """
    texts = document.get("unchecked", ())
    codes = document.get("unchecked_codes") or [Code.OTHER] * len(texts)
    return read(
        Verdict,
        document,
        unchecked=tuple(
            Unchecked(text, Code(code)) for text, code in zip(texts, codes, strict=True)
        ),
        back=from_json(document["back"]) if document.get("back") else None,
        no_back=document.get("no_back") or "",
    )
