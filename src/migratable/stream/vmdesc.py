"""The vmdesc trailer: the JSON in which QEMU describes every device section it wrote.

::

    top     := { ["configuration": body,] "page_size": int, "devices": [ device… ] }
    device  := { "name", "instance_id", body-members }
             | { "name", "instance_id", "size", "fields":[{"name":"data","size","type":"buffer"}] }
    body    := { "vmsd_name", "version", "fields": [ field… ] [, "subsections": [ body… ] ] }
    field   := { "name" [, "array_len" | "index"], "type" [, "struct": body], "size" }

Lists (``qtailq``, ``qlist``, ``gtree``), ``tmp`` and ``vstruct`` write their element's body members
straight into the field's object, once an element: *keys repeat*, so objects are read as pairs.
Instance ids are signed in 4.1 and 4.2. Source: ``migration/vmstate.c`` ``vmstate_save_state_v``,
``migration/savevm.c`` ``vmstate_save``; releases 4.1 to 11.1.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from migratable.errors import StreamError
from migratable.stream import wire_format as layout


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its members in order, repeated keys kept."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VmField:
    """One field of a body, or a compressed array of them.

    :ivar size: bytes of one element on the wire, all nested parts included.
    :ivar array_len: number of elements when QEMU wrote one entry for an array, else None.
    :ivar struct: what is inside a ``struct`` field.
    :ivar elements: bodies of a list's elements (``qtailq``, ``qlist``, ``gtree``: for a tree with
        structured keys key and value take turns), of a ``tmp`` or a ``vstruct`` field.
    """

    name: str
    type: str
    size: int
    array_len: int | None = None
    index: int | None = None
    struct: VmsdBody | None = None
    elements: tuple[VmsdBody, ...] = ()

    @property
    def count(self) -> int:
        """Number of elements that this entry stands for."""
        return 1 if self.array_len is None else self.array_len

    @property
    def total_size(self) -> int:
        """Bytes on the wire of all elements."""
        return self.size * self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class VmsdBody:
    """A VMState description in vmdesc: fields, then subsections."""

    name: str
    version: int
    fields: tuple[VmField, ...] = ()
    subsections: tuple[VmsdBody, ...] = ()

    @property
    def size(self) -> int:
        """Bytes on the wire (without a subsection's own header)."""
        return sum(field.total_size for field in self.fields) + sum(
            6 + len(sub.name.encode("utf-8", "surrogateescape")) + sub.size
            for sub in self.subsections
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VmDevice:
    """A device section in vmdesc.

    :ivar body: its VMState; for handlers without one a single ``data`` field, name empty.
    """

    idstr: str
    instance_id: int
    body: VmsdBody

    @property
    def size(self) -> int:
        """Bytes of the section's body."""
        return self.body.size

    @property
    def opaque(self) -> bool:
        """True for an old-style handler, whose bytes vmdesc does not describe."""
        return not self.body.name


@dataclass(frozen=True, slots=True, kw_only=True)
class VmDescription:
    """The whole trailer.

    :ivar raw: the JSON text as it was on the wire.
    :ivar offset: where its type byte 0x06 is in the stream; None when it was made, not read.
    :ivar extra: the members that QEMU does not write, as plain JSON; nobody has checked them.
    """

    page_size: int
    devices: tuple[VmDevice, ...]
    configuration: VmsdBody | None = None
    raw: bytes = field(default=b"", repr=False)
    offset: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


def parse(data: bytes, *, offset: int | None = None) -> VmDescription:
    """Read the trailer's JSON.

    :param offset: place of the type byte in the stream, for errors.
    :raise StreamError: when it is no JSON, not the grammar above, too large or too deep.
    """
    try:
        return _Reader(offset).description(data)
    except RecursionError:
        raise StreamError("vmdesc is nested too deeply", offset=offset, path="vmdesc") from None


class _Reader:
    """Check types as the grammar asks for them; every error names the place in the tree."""

    def __init__(self, offset: int | None) -> None:
        self._offset = offset
        self._depth = 0

    def _fail(self, message: str, where: str) -> NoReturn:
        raise StreamError(message, offset=self._offset, path=f"vmdesc{where}")

    def description(self, data: bytes) -> VmDescription:
        if len(data) > layout.MAX_VMDESC:
            self._fail(f"vmdesc has {len(data)} bytes, more than {layout.MAX_VMDESC}", "")
        values = data.count(b",") + data.count(b"[") + data.count(b"{")
        if values > layout.MAX_VMDESC_VALUES:
            self._fail(f"vmdesc has {values} members, more than {layout.MAX_VMDESC_VALUES}", "")
        try:
            text = data.decode("ascii")
            members, devices = self._top(text)
        except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are such
            self._fail(f"vmdesc is not JSON that QEMU writes: {error}", "")
        configuration = members.get("configuration")
        return VmDescription(
            page_size=self._int(members.get("page_size"), ".page_size"),
            devices=devices,
            configuration=None
            if configuration is None
            else self._body(self._object(configuration, ".configuration"), ".configuration"),
            raw=data,
            offset=self._offset,
            extra={
                key: _plain(value)
                for key, value in members.items()
                if key not in {"configuration", "page_size"}
            },
        )

    def _top(self, text: str) -> tuple[dict[str, Any], tuple[VmDevice, ...]]:
        """Read the outermost object; devices one at a time, so that no more than one is JSON."""
        members: dict[str, Any] = {}
        devices: list[VmDevice] | None = None
        position = self._expect(text, 0, "{")
        while True:
            key, position = _DECODER.raw_decode(text, _skip(text, position))
            position = _skip(text, self._expect(text, position, ":"))
            if key == "devices" and devices is None:
                devices = []
                position = self._expect(text, position, "[")
                while text[position : position + 1] != "]":
                    value, position = _DECODER.raw_decode(text, position)
                    devices.append(self._device(value, f".devices[{len(devices)}]"))
                    position = _skip(text, position)
                    if text[position : position + 1] != "]":
                        position = self._expect(text, position, ",")
                position = _skip(text, position + 1)
            else:
                value, position = _DECODER.raw_decode(text, position)
                members.setdefault(key, value)
            position = _skip(text, position)
            if text[position : position + 1] == "}":
                break
            position = self._expect(text, position, ",")
        if _skip(text, position + 1) != len(text):
            self._fail("something follows the object", "")
        if devices is None:
            self._fail("list expected, got nothing", ".devices")
        return members, tuple(devices)

    def _expect(self, text: str, position: int, what: str) -> int:
        """Skip one character and the blanks around it."""
        position = _skip(text, position)
        if text[position : position + 1] != what:
            self._fail(f"vmdesc is not JSON that QEMU writes: {what!r} expected at {position}", "")
        return _skip(text, position + 1)

    def _device(self, value: Any, where: str) -> VmDevice:
        members = self._object(value, where)
        idstr = self._str(members.get("name"), f"{where}.name")
        where = f" device {idstr!r}"
        instance = self._int(members.get("instance_id"), f"{where}.instance_id", signed=True)
        if "vmsd_name" in members:
            body = self._body(members, where)
        else:
            body = VmsdBody(
                name="", version=0, fields=self._fields(members.get("fields", []), where)
            )
        return VmDevice(idstr=idstr, instance_id=instance & 0xFFFFFFFF, body=body)

    def _body(self, members: dict[str, Any], where: str) -> VmsdBody:
        if self._depth >= layout.MAX_NESTING:
            self._fail(f"nested more than {layout.MAX_NESTING} deep", where)
        self._depth += 1
        name = self._str(members.get("vmsd_name"), f"{where}.vmsd_name")
        where = f"{where} / {name}"
        body = VmsdBody(
            name=name,
            version=self._int(members.get("version"), f"{where}.version", signed=True),
            fields=self._fields(members.get("fields", []), where),
            subsections=tuple(
                self._body(self._object(sub, where), where)
                for sub in self._list(members.get("subsections", []), f"{where}.subsections")
            ),
        )
        self._depth -= 1
        return body

    def _fields(self, value: Any, where: str) -> tuple[VmField, ...]:
        return tuple(self._field(item, where) for item in self._list(value, f"{where}.fields"))

    def _field(self, value: Any, where: str) -> VmField:
        if not isinstance(value, _Pairs):
            self._fail("field is not an object", where)
        members: dict[str, Any] = {}
        for key, member in value:
            members.setdefault(key, member)
        name = self._str(members.get("name"), f"{where} field name")
        where = f"{where} / {name}"
        elements: tuple[VmsdBody, ...] = ()
        if "vmsd_name" in members:
            elements = tuple(self._body(part, where) for part in _bodies(value))
        struct = members.get("struct")
        if isinstance(struct, _Pairs) and not struct:
            struct = None  # up to 7.2: an array of pointers that begins with a null pointer (css)
        array_len = members.get("array_len")
        index = members.get("index")
        return VmField(
            name=name,
            type=self._str(members.get("type"), f"{where}.type"),
            size=self._int(members.get("size"), f"{where}.size"),
            array_len=None if array_len is None else self._int(array_len, f"{where}.array_len"),
            index=None if index is None else self._int(index, f"{where}.index"),
            struct=None if struct is None else self._body(self._object(struct, where), where),
            elements=elements,
        )

    def _object(self, value: Any, where: str) -> dict[str, Any]:
        if not isinstance(value, _Pairs):
            self._fail(f"object expected, got {type(value).__name__}", where)
        return dict(reversed(value))  # of repeated keys the first stays

    def _list(self, value: Any, where: str) -> list[Any]:
        if not isinstance(value, list) or isinstance(value, _Pairs):
            self._fail(f"list expected, got {type(value).__name__}", where)
        return value

    def _str(self, value: Any, where: str) -> str:
        if not isinstance(value, str):
            self._fail(f"string expected, got {type(value).__name__}", where)
        return sys.intern(value)

    def _int(self, value: Any, where: str, *, signed: bool = False) -> int:
        if type(value) is not int:
            self._fail(f"integer expected, got {type(value).__name__}", where)
        if not (-(1 << 31) if signed else 0) <= value < 1 << 63:
            self._fail(f"integer {value} out of range", where)
        return value


def _bodies(pairs: _Pairs) -> Iterator[dict[str, Any]]:
    """Split a field's members at each ``vmsd_name``: one body per list element."""
    current: dict[str, Any] | None = None
    for key, value in pairs:
        if key == "vmsd_name":
            if current is not None:
                yield current
            current = {key: value}
        elif current is not None and key in ("version", "fields", "subsections"):
            current.setdefault(key, value)
    if current is not None:
        yield current


def _plain(value: Any) -> Any:
    """JSON as Python has it; of repeated keys the first stays."""
    if isinstance(value, _Pairs):
        return {key: _plain(member) for key, member in reversed(value)}
    return [_plain(member) for member in value] if isinstance(value, list) else value


def _no_float(text: str) -> NoReturn:
    raise ValueError(f"number {text[:20]} is not an integer")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_Pairs, parse_float=_no_float, parse_constant=_no_float
)
_BLANKS = re.compile(r"[ \t\r\n]*")


def _skip(text: str, position: int) -> int:
    """Skip blanks."""
    blanks = _BLANKS.match(text, position)
    assert blanks is not None
    return blanks.end()


def dump(vmdesc: VmDescription) -> bytes:
    """JSON of a description, in the compact form of QEMU 6 and later."""
    parts: list[str] = ["{"]
    if vmdesc.configuration is not None:
        parts.append(f'"configuration": {{{_dump_body(vmdesc.configuration)}}}, ')
    devices = ", ".join(_dump_device(device) for device in vmdesc.devices)
    extra = "".join(
        f", {json.dumps(key)}: {json.dumps(value)}" for key, value in vmdesc.extra.items()
    )
    parts.append(f'"page_size": {vmdesc.page_size}, "devices": [{devices}]{extra}}}')
    return "".join(parts).encode("ascii")


def _dump_device(device: VmDevice) -> str:
    head = f'"name": {json.dumps(device.idstr)}, "instance_id": {device.instance_id}'
    if device.opaque:
        fields = ", ".join(map(_dump_field, device.body.fields))
        return f'{{{head}, "size": {device.size}, "fields": [{fields}]}}'
    return f"{{{head}, {_dump_body(device.body)}}}"


def _dump_body(body: VmsdBody) -> str:
    fields = ", ".join(map(_dump_field, body.fields))
    out = f'"vmsd_name": {json.dumps(body.name)}, "version": {body.version}, "fields": [{fields}]'
    if body.subsections:
        out += f', "subsections": [{", ".join(f"{{{_dump_body(s)}}}" for s in body.subsections)}]'
    return out


def _dump_field(field: VmField) -> str:
    out = f'"name": {json.dumps(field.name)}'
    if field.array_len is not None:
        out += f', "array_len": {field.array_len}'
    if field.index is not None:
        out += f', "index": {field.index}'
    out += f', "type": {json.dumps(field.type)}'
    if field.struct is not None:
        out += f', "struct": {{{_dump_body(field.struct)}}}'
    for element in field.elements:
        out += f", {_dump_body(element)}"
    return "{" + out + f', "size": {field.size}' + "}"
