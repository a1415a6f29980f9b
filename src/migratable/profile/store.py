"""Profiles kept by name, in one SQLite file under the user's data folder.

The file may be used by several processes at once: every change is one transaction, and writers
wait for each other. ``MIGRATABLE_DATA`` names another folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from migratable import paths
from migratable.errors import ProfileError
from migratable.printable import quoted
from migratable.profile.model import Profile
from migratable.regular_file import open_regular

if TYPE_CHECKING:
    import sqlite3

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,99}")
_LIMIT = 256 << 20
_BUSY_SECONDS = 10.0
_TABLE = """CREATE TABLE IF NOT EXISTS profiles (
    name TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    machine TEXT NOT NULL,
    taken TEXT NOT NULL,
    document BLOB NOT NULL
) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the list: a profile without its contents."""

    name: str
    version: str
    machine: str
    taken: str


def check_name(name: str) -> str:
    """Give *name* back when a profile may be called so.

    :raise ProfileError: When not.
    """
    if not _NAME.fullmatch(name):
        raise ProfileError(
            f"{quoted(name)} is not a name for a profile; use letters, digits and . _ + @ - (100 "
            "at most), beginning with a letter or digit"
        )
    return name


class Store:
    """The stored profiles.

    :raise ProfileError: From every method, when the file cannot be used, with its path.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Use *folder*, by default :func:`migratable.paths.data`; nothing is opened yet."""
        self.path = (folder or paths.data()) / "profiles.sqlite"

    @contextlib.contextmanager
    def _open(self, *, write: bool) -> Iterator[sqlite3.Connection | None]:
        if not write and not self._is_there():
            yield None
            return
        import sqlite3  # noqa: PLC0415 -- bundled and exported profiles need none

        try:
            if write:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise ProfileError(f"{self.path}: {error}") from None
        try:
            if write:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_TABLE)
            yield connection
            if write:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise ProfileError(
                f"{self.path}: {error}; if the file is damaged, move it away"
            ) from None
        finally:
            connection.close()
            if write and not self._is_there():
                with contextlib.suppress(OSError):  # a full disk: nothing was stored
                    self.path.unlink(missing_ok=True)

    def _is_there(self) -> bool:
        """Is anything stored? An empty file is what a full disk left."""
        try:
            return self.path.stat().st_size > 0
        except OSError:
            return False

    def save(self, name: str, profile: Profile) -> None:
        """Keep *profile* as *name*, without secrets, in the place of an older one of that name."""
        check_name(name)
        document = zlib.compress(without_secrets(profile).dumps().encode(), 3)
        row = (name, str(profile.version), profile.machine, profile.taken, document)
        with self._open(write=True) as connection:
            assert connection is not None
            connection.execute("INSERT OR REPLACE INTO profiles VALUES (?, ?, ?, ?, ?)", row)

    def load(self, name: str) -> Profile:
        """Give the profile of that name.

        :raise ProfileError: When there is none; with the names that there are.
        """
        with self._open(write=False) as connection:
            row = None
            if connection is not None:
                query = "SELECT document FROM profiles WHERE name = ?"
                row = connection.execute(query, (name,)).fetchone()
        if row is None:
            names = ", ".join(entry.name for entry in self.list()[:20])
            raise ProfileError(
                f"no stored profile {quoted(name)}; "
                + (f"there are: {names}" if names else "none is stored: migratable profile --save")
            )
        machine = zlib.decompressobj()
        try:
            text = machine.decompress(bytes(row[0]), _LIMIT)
        except (zlib.error, TypeError) as error:
            raise ProfileError(f"{self.path}: profile {quoted(name)} is damaged: {error}") from None
        return Profile.loads(text, origin=f"{self.path}: profile {name!r}")

    def list(self) -> tuple[Entry, ...]:
        """All profiles by name, without their contents."""
        with self._open(write=False) as connection:
            if connection is None:
                return ()
            query = "SELECT name, version, machine, taken FROM profiles ORDER BY name"
            rows = connection.execute(query).fetchall()
        return tuple(
            Entry(name=name, version=version, machine=machine, taken=taken)
            for name, version, machine, taken in rows
        )

    def remove(self, name: str) -> None:
        """Forget the profile of that name.

        :raise ProfileError: When there is none.
        """
        if not self.path.exists():
            raise ProfileError(f"no stored profile {quoted(name)}")
        with self._open(write=True) as connection:
            assert connection is not None
            done = connection.execute("DELETE FROM profiles WHERE name = ?", (name,))
            if done.rowcount == 0:
                connection.execute("ROLLBACK")
                connection.execute("BEGIN")
                raise ProfileError(f"no stored profile {quoted(name)}")


def without_secrets(profile: Profile) -> Profile:
    """What may be handed to others: values of secrets become ``redacted``."""
    from migratable import redact  # noqa: PLC0415 -- who only reads needs none of it

    found = redact.secrets(profile.command_line) | redact.secrets(profile.inert)

    def clean(texts: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(redact.without(text, found) for text in texts)

    return replace(
        profile,
        command_line=redact.words(profile.command_line),
        inert=redact.words(profile.inert),
        # Where QEMU's or our own words may repeat an option.
        no_stream=redact.without(profile.no_stream, found),
        stderr=clean(profile.stderr),
        refused=clean(profile.refused),
        refuses_itself=clean(profile.refuses_itself),
        notes=clean(profile.notes),
        unchecked=clean(profile.unchecked),
        kvm_decides=clean(profile.kvm_decides),
    )


def export(profile: Profile, path: Path) -> None:
    """Write *profile* as one JSON file of mode 0600, without secrets.

    The old file stays whole until the new one is.

    :raise ProfileError: When it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(without_secrets(profile).dumps() + "\n")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise ProfileError(f"{path}: {error.strerror}") from None


def load_file(path: Path) -> Profile:
    """Read an exported profile, plain or compressed with gzip.

    :raise ProfileError: When it cannot be read or is no profile.
    """
    try:
        with open_regular(path) as stream:
            data = stream.read(_LIMIT + 1)
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror}") from None
    if data[:2] == b"\x1f\x8b":
        machine = zlib.decompressobj(31)
        try:
            data = machine.decompress(data, _LIMIT + 1)
        except zlib.error as error:
            raise ProfileError(f"{path}: damaged gzip: {error}") from None
        if not machine.eof:
            raise ProfileError(f"{path}: damaged gzip: cut short or too large")
    return Profile.loads(data, origin=str(path))
