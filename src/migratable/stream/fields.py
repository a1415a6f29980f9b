"""Values of a device section's fields, by name.

vmdesc says how a body is laid out; :func:`decode` lays it over the bytes. Types are QEMU's own
(``migration/vmstate-types.c``): big-endian integers, ``bool``, ``timer``, ``bitmap``, lists. Types
that only one device knows stay bytes, except ``virtio``, which :mod:`migratable.stream.virtio`
takes apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from migratable.errors import StreamError
from migratable.facts.field_types import COMPARED, PLAIN
from migratable.stream import non_vmstate as handlers
from migratable.stream import virtio
from migratable.stream import wire_format as layout
from migratable.stream.cursor import Cursor
from migratable.stream.decoded import Body, Field, Value
from migratable.stream.model import Section
from migratable.stream.vmdesc import VmField, VmsdBody

MAX_ARRAY = 65_536
"""Numbers of an array that are decoded; a longer one stays bytes (a pseries TCE table)."""
MAX_NODES = 200_000
"""Fields of one section that are decoded; the rest stays bytes."""

_INTEGERS = {
    name: (width, name.startswith("int"))  # bytes; signed
    for name, width in {**PLAIN, **COMPARED}.items()
    if name not in {"bool", "slbe"}
}
_LISTS = ("qtailq", "qlist")


def decode(section: Section) -> Body:
    """Decode a device section by its description.

    Without one (no vmdesc) the body is one opaque field ``data``, except that the device parts of
    virtio are recognised by their name.

    :raise StreamError: when description and bytes contradict each other: a subsection is not where
        it should be, or a field reaches past the body.
    """
    cursor = section.cursor()
    described = section.description
    if described is None or described.opaque:
        return _undescribed(section, cursor)
    return Decoder(cursor, section.idstr).body(described.body)


def _opaque(section: Section, cursor: Cursor) -> Body:
    offset = cursor.offset
    data = cursor.view(cursor.remaining)
    field = Field(name="data", type="buffer", offset=offset, size=len(data), value=data)
    return Body(
        name=section.idstr.rpartition("/")[2],
        version=section.version_id,
        offset=offset,
        size=len(data),
        fields=(field,) if data else (),
    )


def _undescribed(section: Section, cursor: Cursor) -> Body:
    known = handlers.decoder(section)
    return _opaque(section, cursor) if known is None else known(section)


class Decoder:
    """Lays descriptions over bytes; one per section."""

    def __init__(self, cursor: Cursor, idstr: str) -> None:
        """Decode what *cursor* stands before; *idstr* names the device for its own formats."""
        self._cursor = cursor
        self._idstr = idstr
        self._nodes = 0
        self._depth = 0

    def body(self, described: VmsdBody) -> Body:
        """Decode the outermost body; bytes after it become its ``rest``."""
        cursor = self._cursor
        with cursor.within(described.name):
            body = self._body(described)
        if not cursor.remaining:
            return body
        return replace(body, rest=cursor.view(cursor.remaining))

    def _body(self, described: VmsdBody) -> Body:
        if self._depth >= layout.MAX_NESTING:
            raise self._cursor.error(f"nested more than {layout.MAX_NESTING} deep")
        self._depth += 1
        offset = self._cursor.offset
        fields = self._fields(described.fields)
        subsections = tuple(self._subsection(sub) for sub in described.subsections)
        self._depth -= 1
        return Body(
            name=described.name,
            version=described.version,
            offset=offset,
            size=self._cursor.offset - offset,
            fields=fields,
            subsections=subsections,
        )

    def _subsection(self, described: VmsdBody) -> Body:
        cursor = self._cursor
        at = cursor.offset
        with cursor.within(described.name):
            if cursor.u8() != layout.SUBSECTION:
                raise cursor.error("subsection expected", offset=at)
            name = cursor.counted()
            if name != described.name:
                raise cursor.error(f"vmdesc has this subsection, the bytes {name!r}", offset=at)
            cursor.u32()
            return self._body(described)

    def _fields(self, described: tuple[VmField, ...]) -> tuple[Field, ...]:
        out: list[Field] = []
        cursor = self._cursor
        for field in described:
            cursor.enter(field.name)
            out.append(self._field(field))
            cursor.leave()
        return tuple(out)

    def _field(self, described: VmField) -> Field:
        cursor = self._cursor
        self._nodes += 1
        start, offset = cursor.pos, cursor.offset
        size = described.total_size
        if size > cursor.remaining:
            raise cursor.error(
                f"field of {size} bytes reaches past its section, {cursor.remaining} left"
            )
        value: Value = None
        children: tuple[Body, ...] = ()
        if self._nodes + described.count > MAX_NODES and (described.struct or described.elements):
            value = cursor.view(size)
        elif described.struct is not None:
            children = self._structs(described)
        elif described.elements:
            children = self._list(described)
        elif described.type == "virtio":
            children = self._virtio(cursor.view(size), offset)
        elif described.type in (*_LISTS, "gtree", "tmp", "vstruct"):
            cursor.skip(size)
        else:
            value = _value(described, cursor)
        if cursor.pos != start + size:
            raise cursor.error(
                f"vmdesc gives the field {size} bytes, what is inside {cursor.pos - start}",
                offset=offset,
            )
        return Field(
            name=described.name,
            type=described.type,
            offset=offset,
            size=size,
            value=value,
            children=children,
        )

    def _structs(self, described: VmField) -> tuple[Body, ...]:
        assert described.struct is not None
        out: list[Body] = []
        for _ in range(described.count):
            start = self._cursor.pos
            out.append(self._body(described.struct))
            if self._cursor.pos == start:  # elements without bytes: one says it all
                break
        return tuple(out)

    def _list(self, described: VmField) -> tuple[Body, ...]:
        cursor = self._cursor
        end = cursor.pos + described.total_size
        if described.type in _LISTS:
            return tuple(self._marked(described.elements, cursor, lambda: None))
        if described.type == "gtree":
            cursor.skip(4)
            direct = _direct_keys(described)
            return tuple(self._tree(described.elements, cursor, direct=direct))
        out = tuple(self._body(element) for element in described.elements)
        if cursor.pos > end:
            raise cursor.error("elements reach past their list")
        return out

    def _marked(
        self, elements: tuple[VmsdBody, ...], cursor: Cursor, before: Callable[[], None]
    ) -> Iterator[Body]:
        for element in elements:
            if cursor.u8() != 1:
                raise cursor.error("list element expected", offset=cursor.offset - 1)
            before()
            yield self._body(element)
        if cursor.u8():
            raise cursor.error("end of list expected", offset=cursor.offset - 1)

    def _tree(
        self, elements: tuple[VmsdBody, ...], cursor: Cursor, *, direct: bool
    ) -> Iterator[Body]:
        if direct:
            yield from self._marked(elements, cursor, lambda: cursor.skip(8))
            return
        for number, element in enumerate(elements):
            if number % 2 == 0 and cursor.u8() != 1:
                raise cursor.error("tree node expected", offset=cursor.offset - 1)
            yield self._body(element)
        if cursor.u8():
            raise cursor.error("end of tree expected", offset=cursor.offset - 1)

    def _virtio(self, data: memoryview, offset: int) -> tuple[Body, ...]:
        return (virtio.parse(data, offset=offset, idstr=self._idstr).body,)


def _direct_keys(described: VmField) -> bool:
    """Whether a tree's keys are plain u64 (``VMSTATE_GTREE_DIRECT_KEY_V``): only the sizes tell."""
    elements = described.elements
    inside = sum(element.size for element in elements)
    return described.size == 4 + inside + 9 * len(elements) + 1


def _value(described: VmField, cursor: Cursor) -> Value:
    size, count = described.size, described.count
    kind = described.type
    if kind == "bool" and size == 1:
        if count == 1 and described.array_len is None:
            return cursor.u8() != 0
        return _numbers(cursor, 1, count, signed=False)
    known = _INTEGERS.get(kind)
    if known is not None and known[0] == size:
        if described.array_len is None:
            return int.from_bytes(cursor.view(size), "big", signed=known[1])
        return _numbers(cursor, size, count, signed=known[1])
    return cursor.view(described.total_size)


def _numbers(cursor: Cursor, size: int, count: int, *, signed: bool) -> Value:
    data = cursor.view(size * count)
    if count > MAX_ARRAY or (size == 1 and count > 64):
        return data
    return tuple(
        int.from_bytes(data[at : at + size], "big", signed=signed)
        for at in range(0, size * count, size)
    )


__all__ = ["Body", "Decoder", "Field", "StreamError", "Value", "decode"]
