"""Decode formats that no vmdesc describes, with a name for each value."""

from __future__ import annotations

from migratable.stream.cursor import Cursor
from migratable.stream.decoded import Body, Field, Value


class Builder:
    """Collects fields from a cursor; :meth:`body` makes the result."""

    def __init__(self, cursor: Cursor, name: str, version: int = 1) -> None:
        """Begin a body at the cursor."""
        self.cursor = cursor
        self.fields: list[Field] = []
        self.subsections: list[Body] = []
        self._name = name
        self._version = version
        self._start = cursor.offset

    def integer(self, name: str, size: int, kind: str = "") -> int:
        """Read an unsigned big-endian number."""
        offset = self.cursor.offset
        with self.cursor.within(name):
            value = int.from_bytes(self.cursor.view(size), "big")
        self._add(name, kind or f"uint{size * 8}", offset, value)
        return value

    def u8(self, name: str) -> int:
        """One byte."""
        return self.integer(name, 1)

    def u16(self, name: str) -> int:
        """Two bytes."""
        return self.integer(name, 2)

    def u32(self, name: str) -> int:
        """Four bytes."""
        return self.integer(name, 4)

    def u64(self, name: str) -> int:
        """Eight bytes."""
        return self.integer(name, 8)

    def flag(self, name: str) -> bool:
        """One byte, true or false."""
        offset = self.cursor.offset
        with self.cursor.within(name):
            value = self.cursor.u8() != 0
        self._add(name, "bool", offset, value)
        return value

    def bytes(self, name: str, size: int, kind: str = "buffer") -> memoryview:
        """Bytes as they are."""
        offset = self.cursor.offset
        with self.cursor.within(name):
            value = self.cursor.view(size)
        self._add(name, kind, offset, value)
        return value

    def string(self, name: str) -> str:
        """Read a counted string, kept as its bytes."""
        offset = self.cursor.offset
        with self.cursor.within(name):
            data = self.cursor.view(self.cursor.u8())
        self._add(name, "string", offset, data)
        return bytes(data).decode("utf-8", "surrogateescape")

    def numbers(self, name: str, size: int, count: int) -> tuple[int, ...]:
        """Read an array of numbers."""
        offset = self.cursor.offset
        with self.cursor.within(name):
            data = self.cursor.view(size * count)
        values = tuple(
            int.from_bytes(data[at : at + size], "big") for at in range(0, len(data), size)
        )
        self._add(name, f"uint{size * 8}", offset, values)
        return values

    def structs(self, name: str, children: tuple[Body, ...], kind: str = "struct") -> None:
        """Add a field whose parts were decoded already; they end at the cursor."""
        offset = children[0].offset if children else self.cursor.offset
        self._add(name, kind, offset, None, children)

    def _add(
        self, name: str, kind: str, offset: int, value: Value, children: tuple[Body, ...] = ()
    ) -> None:
        self.fields.append(
            Field(
                name=name,
                type=kind,
                offset=offset,
                size=self.cursor.offset - offset,
                value=value,
                children=children,
            )
        )

    def body(self) -> Body:
        """Read What was read so far."""
        return Body(
            name=self._name,
            version=self._version,
            offset=self._start,
            size=self.cursor.offset - self._start,
            fields=tuple(self.fields),
            subsections=tuple(self.subsections),
        )
