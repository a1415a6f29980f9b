"""Carry edits out. RAM need not be there: sections in, sections out.

Nothing is changed where other bytes are found than the edit expects: the stream is then not the one
(or no longer in the state) that the plan was made for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from migratable.convert import described
from migratable.convert.model import Change, Operation, Plan, StreamEdit
from migratable.errors import ConvertError, StreamError
from migratable.printable import quoted
from migratable.stream import wire_format as layout
from migratable.stream.configuration import read_configuration
from migratable.stream.cursor import Buffer, counted, raw
from migratable.stream.edit import describe, map_sections, with_elements
from migratable.stream.model import Command, Configuration, Element, Section, Stream
from migratable.stream.ram import read_start
from migratable.stream.vmdesc_text import spliced
from migratable.stream.wire_format import WHOLE, SectionKind

_FINDABLE = 8
"""Bytes that are looked for elsewhere in a body when they are not at their offset."""


def apply(edits: Plan | Iterable[StreamEdit], sections: Sequence[Section]) -> tuple[Section, ...]:
    """Make all edits of sections, in order; skip those of the configuration.

    :param sections: in the order of the wire, START and FULL ones; others are handed on. Sections
        that were read without a vmdesc do as well.
    :raise ConvertError: when a section is missing or has other bytes than an edit expects.
    """
    out = list(sections)
    for edit in _edits(edits):
        if edit.operation is not Operation.CONFIGURATION:
            _edit_sections(edit, out)
    return tuple(out)


def apply_to_configuration(
    edits: Plan | Iterable[StreamEdit], configuration: Configuration | None
) -> Configuration | None:
    """Make only the edits of the configuration section.

    :raise ConvertError: when it is missing or has other bytes than an edit expects.
    """
    for edit in _edits(edits):
        if edit.operation is not Operation.CONFIGURATION:
            continue
        before = b"" if configuration is None else configuration_bytes(configuration)
        after = _changed(edit, before)
        try:
            configuration = read_configuration(after) if after else None
        except StreamError as error:
            raise ConvertError(f"{edit.id}: no configuration section is left: {error}") from None
    return configuration


def apply_to_stream(edits: Plan | Iterable[StreamEdit], stream: Stream) -> Stream:
    """Make all edits, and adapt the block list and the vmdesc.

    Spans (RAM) are handed on as they are.

    :raise ConvertError: as :func:`apply`.
    """
    edits = tuple(_edits(edits))
    trailer = stream.trailer
    if any(block.mapped for block in stream.ram_blocks) and any(
        edit.section == "ram" for edit in edits
    ):
        raise ConvertError("the block list of a mapped-ram file has the pages inside and stays")
    description = stream.vmdesc
    if not edits:
        return stream
    configuration = apply_to_configuration(edits, stream.configuration)
    stream = replace(stream, vmdesc=None)
    for edit in edits:
        if edit.operation is Operation.CONFIGURATION:
            continue
        if edit.operation is Operation.ADD:
            stream = with_elements(stream, _added(stream.elements, edit))
            continue
        old = _find(edit, stream.sections)
        new = _edited(edit, old)
        stream = map_sections(stream, lambda one, old=old, new=new: new if one is old else one)  # type: ignore[misc]
    ram = stream.ram
    start = stream.device("ram")
    if start is not None and ram is not None and any(edit.section == "ram" for edit in edits):
        names = () if configuration is None else configuration.capabilities
        ram = read_start(start.cursor(), gpa="x-ignore-shared" in names)
    if description is not None:
        devices = describe(stream.elements, description.page_size).devices
        stream = replace(stream, vmdesc=spliced(description, devices))
    return replace(stream, configuration=configuration, ram=ram, trailer=trailer)


def configuration_bytes(configuration: Configuration) -> bytes:
    """Bytes of a configuration section, without its type byte."""
    name = raw(configuration.machine)
    parts: list[Buffer] = [len(name).to_bytes(4, "big"), name]
    for sub in configuration.subsections:
        parts += [bytes([layout.SUBSECTION]), counted(sub.name), sub.version.to_bytes(4, "big")]
        parts.append(sub.body)
    return b"".join(parts)


def _edits(edits: Plan | Iterable[StreamEdit]) -> Iterable[StreamEdit]:
    return edits.edits if isinstance(edits, Plan) else edits


def _edit_sections(edit: StreamEdit, sections: list[Section]) -> None:
    if edit.operation is Operation.ADD:
        sections.insert(_place(edit, sections), _new_section(edit))
        return
    old = _find(edit, sections)
    at = next(number for number, section in enumerate(sections) if section is old)
    new = _edited(edit, old)
    sections[at : at + 1] = [] if new is None else [new]


def _find(edit: StreamEdit, sections: Sequence[Section]) -> Section:
    assert edit.section is not None
    key = (edit.section, edit.instance_id, edit.repeat)
    for number, section in keyed(sections):
        if number == key:
            return section
    raise ConvertError(
        f"{edit.id}: the stream has no section {quoted(edit.section)} {edit.instance_id}; the "
        "plan was made for another stream, or its edits are out of order"
    )


def keyed(sections: Iterable[Section]) -> Iterator[tuple[tuple[str, int, int], Section]]:
    """START and FULL sections with idstr, instance id, and their number among equals."""
    seen: Counter[tuple[str, int]] = Counter()
    for section in sections:
        if section.kind in WHOLE:
            key = (section.idstr, section.instance_id & 0xFFFFFFFF)
            yield (*key, seen[key]), section
            seen[key] += 1


def _edited(edit: StreamEdit, section: Section) -> Section | None:
    """The section after the edit, None when it is dropped."""
    if edit.operation is Operation.HEADER:
        return _new_header(edit, section)
    if edit.operation is Operation.DROP:
        _changed(edit, section.body)
        return None
    before = section.body
    body = _changed(edit, before)
    return replace(
        section,
        body=body,
        description=described.after(section.description, edit, before),
    )


def _new_header(edit: StreamEdit, section: Section) -> Section:
    for change in edit.changes:
        there: bytes = (
            raw(section.idstr)
            if change.name == "idstr"
            else (int(getattr(section, change.name)) & 0xFFFFFFFF).to_bytes(4, "big")
        )
        if there != change.old:
            raise _other_bytes(edit, change, there)
        if change.name == "idstr":
            section = replace(section, idstr=change.new.decode("utf-8", "surrogateescape"))
        elif change.name == "instance_id":
            section = replace(section, instance_id=int.from_bytes(change.new, "big"))
        else:
            # Its description keeps the version that the source wrote: no field has moved.
            section = replace(section, version_id=int.from_bytes(change.new, "big"))
    return section


def _changed(edit: StreamEdit, data: Buffer) -> bytes:
    """Give the bytes after all changes; their offsets are those before the first."""
    delta = _delta(edit, data)
    out: list[Buffer] = []
    at = 0
    last = sorted(edit.changes, key=lambda change: (change.offset is None, change.offset or 0))
    for change in last:
        start = len(data) - len(change.old) if change.offset is None else change.offset + delta
        there = bytes(data[start : start + len(change.old)]) if start >= at else b""
        if not at <= start <= len(data) or there != change.old:
            raise _other_bytes(edit, change, there)
        out += [data[at:start], change.new]
        at = start + len(change.old)
    out.append(data[at:])
    return b"".join(out)


def _delta(edit: StreamEdit, data: Buffer) -> int:
    """How far the changes' bytes are from where the plan saw them: a later state of the VM."""
    placed = [change for change in edit.changes if change.offset is not None]
    if all(_is_at(data, change, 0) for change in placed) or edit.operation is not Operation.BODY:
        return 0
    longest = max(placed, key=lambda one: len(one.old))
    if len(longest.old) < _FINDABLE or longest.offset is None:
        return 0
    whole = bytes(data)
    found = whole.find(longest.old)
    if found < 0 or whole.find(longest.old, found + 1) >= 0:
        return 0
    delta = found - longest.offset
    return delta if all(_is_at(data, change, delta) for change in placed) else 0


def _is_at(data: Buffer, change: Change, delta: int) -> bool:
    start = (change.offset or 0) + delta
    return start >= 0 and bytes(data[start : start + len(change.old)]) == change.old


def _other_bytes(edit: StreamEdit, change: Change, there: bytes) -> ConvertError:
    where = "the configuration section" if edit.section is None else f"section {edit.section!r}"
    name = change.name or "/".join(edit.path) or "its body"
    return ConvertError(
        f"{edit.id}: {where} has other bytes in {name} than the plan expects "
        f"({_short(there)} for {_short(change.old)}); the state of the VM is not the one that "
        "the plan was made for: make a new plan from a current stream"
    )


def _short(data: bytes) -> str:
    return (data[:16].hex(" ") or "nothing") + (" …" if len(data) > 16 else "")


def _new_section(edit: StreamEdit) -> Section:
    assert edit.place is not None
    assert edit.section is not None
    return Section(
        kind=SectionKind.FULL,
        section_id=edit.place.section_id,
        idstr=edit.section,
        instance_id=edit.instance_id,
        version_id=edit.place.version_id,
        body=edit.changes[0].new,
        footer=edit.place.footer,
        description=described.device(edit),
    )


def _place(edit: StreamEdit, sections: Sequence[Section]) -> int:
    """Index at which an added section belongs."""
    assert edit.place is not None
    after = edit.place.after
    if after is None:
        return next(
            (n for n, section in enumerate(sections) if section.kind is SectionKind.FULL),
            len(sections),
        )
    before = next((section for key, section in keyed(sections) if key == after), None)
    for number, one in enumerate(sections):
        if one is before:
            return number + 1
    raise ConvertError(
        f"{edit.id}: the stream has no section {quoted(after[0])} {after[1]}, which the new "
        "one follows"
    )


def _added(elements: tuple[Element, ...], edit: StreamEdit) -> tuple[Element, ...]:
    """Elements with the new section in its place, inside a package when its neighbour is."""
    out = list(elements)
    for number, element in enumerate(out):
        if isinstance(element, Command) and any(
            isinstance(section, Section) and section.kind is SectionKind.FULL
            for section in element.nested
        ):
            out[number] = replace(element, nested=_added(element.nested, edit))
            return tuple(out)
    places = [number for number, one in enumerate(out) if isinstance(one, Section)]
    sections = [section for section in out if isinstance(section, Section)]
    at = _place(edit, sections)
    out.insert(places[at - 1] + 1 if at else (places[0] if places else 0), _new_section(edit))
    return tuple(out)
