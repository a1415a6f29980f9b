"""Compare two streams by section and field.

Sections are paired by idstr and instance id (modulo 2^32), repeated ones in their order; fields by
their path. Offsets, section ids and footers do not count: they mean nothing to a loader of another
machine.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from migratable.errors import StreamError
from migratable.members import members
from migratable.stream.decoded import Body, Field, Value
from migratable.stream.fields import decode
from migratable.stream.model import Section, Stream
from migratable.stream.wire_format import WHOLE, SectionKind

MAX_LISTED = 8
"""Elements of one array that are told apart; more are counted."""


class Kind(enum.StrEnum):
    """What a difference is about."""

    CONFIGURATION = "configuration"
    RAM_BLOCK = "ram-block"
    SECTION = "section"
    VERSION = "version"
    SUBSECTION = "subsection"
    FIELD = "field"
    LAYOUT = "layout"
    VALUE = "value"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One difference. ``a`` or ``b`` is None where that side has nothing.

    :ivar path: subsection and field names, outermost first.
    """

    kind: Kind
    section: str | None = None
    instance_id: int | None = None
    path: tuple[str, ...] = ()
    a: Any = None
    b: Any = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As ``migratable diff --format json`` prints it."""
        return members(self)


def compare(
    a: Stream,
    b: Stream,
    *,
    values: bool = True,
    wanted: Callable[[Section], bool] | None = None,
) -> Iterator[Difference]:
    """All differences in the order of *a*, what only *b* has last.

    :param values: False compares presence, versions and layout only.
    :param wanted: limits the comparison to some sections.
    """
    if wanted is None:
        yield from _configurations(a, b)
        yield from _ram_blocks(a, b)
    ours, theirs = _keyed(a, wanted), _keyed(b, wanted)
    for key, section in ours.items():
        other = theirs.get(key)
        if other is None:
            yield _only(section, a=True)
        else:
            yield from _sections(section, other, values=values)
    for key, section in theirs.items():
        if key not in ours:
            yield _only(section, a=False)


def _configurations(a: Stream, b: Stream) -> Iterator[Difference]:
    pairs = (
        ("machine", a.machine, b.machine),
        ("page_size", a.page_size, b.page_size),
        ("capabilities", _capabilities(a), _capabilities(b)),
        ("uuid", _uuid(a), _uuid(b)),
    )
    for name, left, right in pairs:
        if left != right:
            yield Difference(kind=Kind.CONFIGURATION, path=(name,), a=left, b=right)


def _capabilities(stream: Stream) -> list[str]:
    return [] if stream.configuration is None else list(stream.configuration.capabilities)


def _uuid(stream: Stream) -> str | None:
    found = None if stream.configuration is None else stream.configuration.uuid
    return None if found is None else str(found)


def _ram_blocks(a: Stream, b: Stream) -> Iterator[Difference]:
    ours = {block.id: block for block in a.ram_blocks}
    theirs = {block.id: block for block in b.ram_blocks}
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        left, right = ours.get(name), theirs.get(name)
        for what in ("used_length", "page_size", "gpa"):
            one = None if left is None else getattr(left, what)
            two = None if right is None else getattr(right, what)
            if one != two:
                yield Difference(kind=Kind.RAM_BLOCK, path=(name, what), a=one, b=two)


def _keyed(
    stream: Stream, wanted: Callable[[Section], bool] | None
) -> dict[tuple[str, int, int], Section]:
    times: dict[tuple[str, int], int] = {}
    out: dict[tuple[str, int, int], Section] = {}
    for section in stream.sections:
        if section.kind not in WHOLE:
            continue
        if wanted is not None and not wanted(section):
            continue
        key = (section.idstr, section.instance_id & 0xFFFFFFFF)
        out[(*key, times.get(key, 0))] = section
        times[key] = times.get(key, 0) + 1
    return out


def _only(section: Section, *, a: bool) -> Difference:
    return Difference(
        kind=Kind.SECTION,
        section=section.idstr,
        instance_id=section.instance_id,
        a=section.version_id if a else None,
        b=None if a else section.version_id,
        note="only in A" if a else "only in B",
    )


def _sections(a: Section, b: Section, *, values: bool) -> Iterator[Difference]:
    at: dict[str, Any] = {"section": a.idstr, "instance_id": a.instance_id}
    if a.version_id != b.version_id:
        yield Difference(kind=Kind.VERSION, a=a.version_id, b=b.version_id, **at)
    if a.kind is SectionKind.START or bytes(a.body) == bytes(b.body):
        return  # RAM blocks were compared already; contents of RAM and htab are not ours
    try:
        left, right = decode(a), decode(b)
    except StreamError as error:
        if values:
            yield Difference(
                kind=Kind.VALUE,
                a=f"{len(a.body)} bytes",
                b=f"{len(b.body)} bytes",
                note=f"fields could not be decoded: {error.reason}",
                **at,
            )
        return
    yield from _bodies(left, right, (), at, values=values)


def _bodies(
    a: Body, b: Body, path: tuple[str, ...], at: Mapping[str, Any], *, values: bool
) -> Iterator[Difference]:
    if path and a.version != b.version:
        yield Difference(kind=Kind.VERSION, path=path, a=a.version, b=b.version, **at)
    ours, theirs = _numbered(a.fields), _numbered(b.fields)
    for name, field in ours.items():
        other = theirs.get(name)
        here = (*path, name)
        if other is None:
            yield Difference(kind=Kind.FIELD, path=here, a=field.type, note="field only in A", **at)
        else:
            yield from _fields(field, other, here, at, values=values)
    for name, field in theirs.items():
        if name not in ours:
            yield Difference(
                kind=Kind.FIELD, path=(*path, name), b=field.type, note="field only in B", **at
            )
    subs, others = ({sub.name: sub for sub in body.subsections} for body in (a, b))
    for name in [*subs, *(name for name in others if name not in subs)]:
        one, two = subs.get(name), others.get(name)
        if one is not None and two is not None:
            yield from _bodies(one, two, (*path, name), at, values=values)
        else:
            yield Difference(
                kind=Kind.SUBSECTION,
                path=(*path, name),
                a=None if one is None else one.version,
                b=None if two is None else two.version,
                note="only in A" if two is None else "only in B",
                **at,
            )


def _numbered(fields: tuple[Field, ...]) -> dict[str, Field]:
    out: dict[str, Field] = {}
    for field in fields:
        name, number = field.name, 1
        while name in out:
            name = f"{field.name}#{number}"
            number += 1
        out[name] = field
    return out


def _fields(
    a: Field, b: Field, path: tuple[str, ...], at: Mapping[str, Any], *, values: bool
) -> Iterator[Difference]:
    if a.children or b.children:
        yield from _elements(a, b, path, at, values=values)
        return
    if a.size != b.size:
        yield Difference(
            kind=Kind.LAYOUT, path=path, a=f"{a.size} bytes", b=f"{b.size} bytes", **at
        )
    elif a.type != b.type:
        yield Difference(kind=Kind.LAYOUT, path=path, a=a.type, b=b.type, **at)
    if values and a.size == b.size:
        yield from _values(a.value, b.value, path, at)


def _elements(
    a: Field, b: Field, path: tuple[str, ...], at: Mapping[str, Any], *, values: bool
) -> Iterator[Difference]:
    if len(a.children) != len(b.children):
        yield Difference(
            kind=Kind.LAYOUT,
            path=path,
            a=f"{len(a.children)} elements",
            b=f"{len(b.children)} elements",
            **at,
        )
    differing = 0
    single = len(a.children) == len(b.children) == 1
    for number, (one, two) in enumerate(zip(a.children, b.children, strict=False)):
        name = path if single else (*path[:-1], f"{path[-1]}[{number}]")
        found = list(_bodies(one, two, name, at, values=values))
        differing += bool(found)
        if differing <= MAX_LISTED:
            yield from found
    if differing > MAX_LISTED:
        yield Difference(
            kind=Kind.VALUE,
            path=path,
            note=f"{differing - MAX_LISTED} more elements differ",
            **at,
        )


def _values(
    a: Value, b: Value, path: tuple[str, ...], at: Mapping[str, Any]
) -> Iterator[Difference]:
    if isinstance(a, memoryview) and isinstance(b, memoryview):
        if a != b:
            yield Difference(kind=Kind.VALUE, path=path, **_bytes(a, b), **at)
        return
    if isinstance(a, tuple) and isinstance(b, tuple):
        unequal = [n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y]
        for number in unequal[:MAX_LISTED]:
            name = (*path[:-1], f"{path[-1]}[{number}]")
            yield Difference(kind=Kind.VALUE, path=name, a=a[number], b=b[number], **at)
        if len(unequal) > MAX_LISTED:
            yield Difference(
                kind=Kind.VALUE,
                path=path,
                note=f"{len(unequal) - MAX_LISTED} more numbers differ",
                **at,
            )
        return
    if a != b:
        left, right = (one.hex() if isinstance(one, memoryview) else one for one in (a, b))
        yield Difference(kind=Kind.VALUE, path=path, a=left, b=right, **at)


def _bytes(a: memoryview, b: memoryview) -> dict[str, Any]:
    """Give the first bytes that differ, and how many do."""
    left, right = bytes(a), bytes(b)
    first = next(n for n, (x, y) in enumerate(zip(left, right, strict=True)) if x != y)
    count = sum(x != y for x, y in zip(left, right, strict=True))
    end = first + 8
    plural = "byte differs" if count == 1 else "bytes differ"
    return {
        "a": left[first:end].hex(),
        "b": right[first:end].hex(),
        "note": f"{count} of {len(left)} {plural}, the first at {first:#x}",
    }
