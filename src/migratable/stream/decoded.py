"""The result of decoding: a body with its fields and subsections, all with offsets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

Value: TypeAlias = int | bool | tuple[int, ...] | memoryview | None
"""A number, a flag, nothing (see the field's children), an array of numbers, or bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field, or a whole array of numbers.

    :ivar offset: place in the stream.
    :ivar size: bytes on the wire.
    :ivar children: bodies inside: a struct's, one for each element of a list or struct array.
    """

    name: str
    type: str
    offset: int
    size: int
    value: Value = None
    children: tuple[Body, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A decoded VMState body: fields, then subsections.

    :ivar rest: bytes that the description does not cover.
    """

    name: str
    version: int
    offset: int
    size: int
    fields: tuple[Field, ...] = ()
    subsections: tuple[Body, ...] = ()
    rest: memoryview | None = None

    def field(self, *names: str) -> Field | None:
        """Give a field by name; more names go down into structs: ``field("pm", "pm1a.sts")``."""
        first = next((field for field in self.fields if field.name == names[0]), None)
        if first is None or len(names) == 1:
            return first
        return first.children[0].field(*names[1:]) if first.children else None

    def value(self, *names: str) -> Value:
        """Give a field's value, None when there is no such field."""
        found = self.field(*names)
        return None if found is None else found.value

    def subsection(self, name: str) -> Body | None:
        """Give a subsection by its full name, at this level."""
        return next((sub for sub in self.subsections if sub.name == name), None)

    def walk(self, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Field]]:
        """All fields of all levels with the path to them; repeated names are numbered."""
        seen: dict[str, int] = {}
        repeated = {name for name, times in _times(self.fields).items() if times > 1}
        for field in self.fields:
            name = field.name
            if name in repeated:
                seen[name] = seen.get(name, -1) + 1
                name = f"{name}[{seen[name]}]"
            here = (*path, name)
            yield here, field
            for number, child in enumerate(field.children):
                yield from child.walk(
                    here if len(field.children) == 1 else (*path, f"{name}[{number}]")
                )
        for sub in self.subsections:
            yield from sub.walk((*path, sub.name))

    def all_subsections(self) -> Iterator[Body]:
        """Subsections of this body, of structs inside it, and of those subsections."""
        for field in self.fields:
            for child in field.children:
                yield from child.all_subsections()
        for sub in self.subsections:
            yield sub
            yield from sub.all_subsections()


def _times(fields: tuple[Field, ...]) -> dict[str, int]:
    times: dict[str, int] = {}
    for field in fields:
        times[field.name] = times.get(field.name, 0) + 1
    return times
