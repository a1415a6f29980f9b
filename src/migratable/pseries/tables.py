"""TOML tables of users, read strictly: every mistake is a PlanError with file, place and remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from migratable.errors import CommandLineError, PlanError
from migratable.printable import quoted, shortened
from migratable.pseries.capability import Version, parse_version
from migratable.toml_file import parse_toml, read_toml

T = TypeVar("T")
_LIMIT = 16 << 20


class Table:
    """A TOML table that knows its place; what nobody asked for is an error at the end."""

    def __init__(self, raw: Mapping[str, Any], place: str) -> None:
        """Take *raw*, found at *place* (``plan.toml: policy 2``)."""
        self._raw = dict(raw)
        self._left = set(raw)
        self.place = place

    def error(self, message: str) -> PlanError:
        """A PlanError that names this place."""
        return PlanError(f"{self.place}: {message}")

    def has(self, key: str) -> bool:
        """Is the member there?"""
        return key in self._raw

    def get(self, key: str, kind: type[T], default: T | None = None) -> T:
        """One member of the type *kind*; needed when there is no *default*.

        :raise PlanError: When it is missing or of another type.
        """
        self._left.discard(key)
        value = self._raw.get(key, default)
        if value is None:
            raise self.error(f"{key} is missing")
        # bool is an int to Python, not to a reader of plans
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.error(f"{key} must be a {kind.__name__}, not {quoted(value)}")
        return value

    def texts(self, key: str, default: list[str] | None = None) -> list[str]:
        """A list of strings."""
        values = self.get(key, list, default)
        for value in values:
            if not isinstance(value, str):
                raise self.error(f"{key} must be a list of strings, not {quoted(values)}")
        return values

    def tables(self, key: str) -> list[Table]:
        """A list of tables, empty when it is missing."""
        values = self.get(key, list, [])
        for value in values:
            if not isinstance(value, dict):
                raise self.error(f"{key} must be a list of tables: [[{key}]]")
        return [
            Table(value, f"{self.place}: {key} {number}") for number, value in enumerate(values, 1)
        ]

    def table(self, key: str) -> Table:
        """A table, empty when it is missing."""
        return Table(self.get(key, dict, {}), f"{self.place}: {key}")

    def items(self) -> Iterator[tuple[str, Any]]:
        """All members, for tables whose keys are free."""
        self._left.clear()
        yield from self._raw.items()

    def version(self, key: str) -> Version:
        """A release or machine version as text."""
        text = self.get(key, str)
        try:
            return parse_version(text.removeprefix("pseries-"))
        except CommandLineError as error:
            raise self.error(f"{key}: {error}") from None

    def finish(self) -> None:
        """Complain about members that nobody read.

        :raise PlanError: When there are any.
        """
        if self._left:
            odd = shortened(", ".join(sorted(self._left)))
            raise self.error(f"unknown member: {odd}")


def read_table(path: Path, *, text: str | None = None, name: str = "") -> Table:
    """The TOML file *path* (or *text*) as a table.

    :raise PlanError: When it cannot be read or is no TOML.
    """
    name = name or str(path)
    if text is None:
        raw = read_toml(path, limit=_LIMIT, what="a fleet or a plan")
    else:
        raw = parse_toml(text, name=name)
    return Table(raw, name)
