"""Dataclasses as JSON objects and back: a member of the object for each of the class, in its order.

The class's annotations say what is read: text, whole numbers, truth values, bytes (hexadecimal
digits), enumerations, ``X | None``, tuples, mappings and dataclasses of these. ``metadata`` may say
more: a member that is :data:`HIDDEN` is not in the object, one that is :data:`ASIDE` is read only,
one that is :data:`SPARSE` is left out while it has its default; :func:`named` gives it another name
there, :func:`most` bounds a number.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeVar

from migratable.printable import quoted

HIDDEN = {"hidden": True, "aside": True}
ASIDE = {"aside": True}
SPARSE = {"sparse": True}
T = TypeVar("T")
Take = Callable[[Any, str], Any]
"""Reads a value at a place of the document."""


def named(name: str) -> dict[str, Any]:
    """Metadata: the member's name in the object."""
    return {"name": name}


def most(number: int) -> dict[str, Any]:
    """Metadata: the greatest value; the number, or each of several, is not negative."""
    return {"most": number}


class MalformedError(ValueError):
    """A member is not what its class says."""

    def __init__(self, place: str, message: str) -> None:
        self.place = place.removeprefix(".")
        self.message = message
        super().__init__(f"{self.place}: {message}" if place else message)


def members(value: Any) -> dict[str, Any]:
    """A dataclass as JSON has it."""
    return {
        name: found if type(found) in _AS_THEY_ARE else plain(found)
        for attribute, name, left_out in _written(type(value))  # type: ignore[arg-type]  # a class has a hash
        if (found := getattr(value, attribute)) != left_out
    }


def rows(values: Iterable[Any]) -> list[list[Any]]:
    """Dataclasses without their members' names."""
    return [list(members(value).values()) for value in values]


def plain(value: Any) -> Any:
    """A value as JSON has it; what has ``to_json`` speaks for itself."""
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind is tuple or kind is list:
        return [plain(one) for one in value]
    if hasattr(kind, "to_json"):
        return value.to_json()
    if hasattr(kind, "__dataclass_fields__"):
        return members(value)
    if isinstance(value, str):  # an enumeration's, or a text with a code
        return str(value)
    if kind is bytes:
        return value.hex()
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    return [plain(one) for one in value]


def read(
    kind: type[T], document: object, place: str = "", *, whole: bool = False, **given: Any
) -> T:
    """Read what :func:`members` gave; members that the class has not are passed over.

    :param place: of *document* in a larger one, for errors.
    :param whole: no member may be missing.
    :param given: members that were read already.
    :raise MalformedError: when a member has another type, or is missing and has no default.
    """
    if not isinstance(document, dict):
        raise _wrong(place, "object", document)
    for attribute, name, take, needed in _read(kind):  # type: ignore[arg-type]  # as above
        if attribute in given:
            continue
        if name in document:
            given[attribute] = take(document[name], f"{place}.{name}")
        elif needed or whole:
            raise MalformedError(f"{place}.{name}", "missing")
    return kind(**given)


def read_row(kind: type[T], row: object) -> T:
    """Read one of :func:`rows`; raises as :func:`read` does."""
    plan = _read(kind)  # type: ignore[arg-type]  # as above
    if not isinstance(row, list) or len(row) != len(plan):
        raise MalformedError("", f"list of {len(plan)} expected")
    return kind(**{step[0]: step[2](value, step[0]) for step, value in zip(plan, row, strict=True)})


_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})


_NEVER = object()


@cache
def _written(kind: Any) -> tuple[tuple[str, str, Any], ...]:
    """Attribute, its name in the object, and the value with which it is left out."""
    return tuple(
        (field.name, field.metadata.get("name", field.name), _left_out(field))
        for field in dataclasses.fields(kind)
        if "aside" not in field.metadata
    )


def _left_out(field: dataclasses.Field[Any]) -> Any:
    if "sparse" not in field.metadata:
        return _NEVER
    factory = field.default_factory
    return field.default if factory is dataclasses.MISSING else factory()


@cache
def _read(kind: Any) -> tuple[tuple[str, str, Take, bool], ...]:
    missing = dataclasses.MISSING
    rows = []
    for field in dataclasses.fields(kind):
        if "hidden" in field.metadata:
            continue
        take = _taker(str(field.type), kind.__module__, field.metadata.get("most"))
        needed = field.default is missing and field.default_factory is missing
        rows.append((field.name, field.metadata.get("name", field.name), take, needed))
    return tuple(rows)


@cache
def _taker(annotation: str, module: str, limit: int | None) -> Take:
    number = _integer if limit is None else _bounded(limit)
    return _of_node(ast.parse(annotation, mode="eval").body, module, number)


def _of_node(node: ast.expr, module: str, number: Take) -> Take:
    """What reads a type as it is written (evaluated it would need Python 3.10)."""
    if isinstance(node, ast.BinOp):  # X | None
        return _optional(_of_node(node.left, module, number))
    if isinstance(node, ast.Subscript):
        assert isinstance(node.value, ast.Name)
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Mapping":
            return _mapping(parts[0], _of_node(parts[1], module, number))
        if isinstance(parts[-1], ast.Constant):  # tuple[X, ...]
            return _items(_of_node(parts[0], module, number))
        return _row([_of_node(part, module, number) for part in parts])
    assert isinstance(node, ast.Name)
    if node.id == "int":
        return number
    if node.id in _SIMPLE:
        return _SIMPLE[node.id]
    kind = getattr(sys.modules[module], node.id)
    if issubclass(kind, enum.Enum):
        return _member_of(kind)
    return lambda value, place: read(kind, value, place)


def _wrong(place: str, expected: str, value: object) -> MalformedError:
    return MalformedError(place, f"{expected} expected, got {type(value).__name__}")


def _text(value: Any, place: str) -> str:
    if type(value) is not str:
        raise _wrong(place, "string", value)
    return value


def _truth(value: Any, place: str) -> bool:
    if type(value) is not bool:
        raise _wrong(place, "true or false", value)
    return value


def _integer(value: Any, place: str) -> int:
    if type(value) is not int:
        raise _wrong(place, "number", value)
    return value


def _bounded(limit: int) -> Take:
    def number(value: Any, place: str) -> int:
        if type(value) is not int or not 0 <= value <= limit:
            raise MalformedError(place, f"number from 0 to {limit} expected, got {quoted(value)}")
        return value

    return number


def _bytes(value: Any, place: str) -> bytes:
    text = _text(value, place)
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise MalformedError(place, "hexadecimal bytes expected") from None


_SIMPLE: Mapping[str, Take] = {
    "str": _text,
    "bool": _truth,
    "bytes": _bytes,
    "Any": lambda value, place: value,
}


def _optional(take: Take) -> Take:
    return lambda value, place: None if value is None else take(value, place)


def _member_of(kind: type[enum.Enum]) -> Take:
    def member(value: Any, place: str) -> enum.Enum:
        text = _text(value, place)
        try:
            return kind(text)
        except ValueError:
            words = ", ".join(one.value for one in kind)
            raise MalformedError(place, f"one of {words} expected, got {quoted(value)}") from None

    return member


def _list(value: Any, place: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(place, "list", value)
    return value


def _items(take: Take) -> Take:
    return lambda value, place: tuple(
        [take(one, f"{place}[{number}]") for number, one in enumerate(_list(value, place))]
    )


def _row(takes: list[Take]) -> Take:
    def row(value: Any, place: str) -> tuple[Any, ...]:
        if len(_list(value, place)) != len(takes):
            raise MalformedError(place, f"{len(takes)} values expected, got {len(value)}")
        return tuple([take(one, place) for take, one in zip(takes, value, strict=True)])

    return row


def _mapping(key: ast.expr, take: Take) -> Take:
    numbers = isinstance(key, ast.Name) and key.id == "int"

    def mapping(value: Any, place: str) -> dict[Any, Any]:
        if not isinstance(value, dict):
            raise _wrong(place, "object", value)
        found = {name: take(one, f"{place}.{name}") for name, one in value.items()}
        if not numbers:
            return found
        try:
            return {int(name): one for name, one in found.items()}
        except ValueError:
            raise MalformedError(place, "numbers expected for names") from None

    return mapping
