"""Describe sections without vmdesc by the tables of the program that sent them.

A capture has the bytes of a guest's sections and not their description. The program that wrote
them has the tables: they are laid over the bytes exactly as a load does, and every field that is
read is noted as ``migration/vmstate.c: vmsd_desc_field_start`` and ``vmsd_desc_field_end`` (5.2 to
11.1) would have noted it. A section that is not read to its very last byte stays undescribed.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from migratable.check.baseline import Baseline
from migratable.check.problem import RefusedError, UnexaminedError
from migratable.check.qemu_file import QemuFile, StreamEndError
from migratable.check.state import LoadedState, Memory
from migratable.check.vmdesc_cursor import VmdescCursor, described_names
from migratable.check.vmstate import VMStateLoader
from migratable.facts.field_types import PLAIN
from migratable.profile.model import Profile
from migratable.profile.tables import Flag, LoaderTables, VmField, Vmsd
from migratable.stream.edit import map_sections
from migratable.stream.model import Section, Stream
from migratable.stream.vmdesc import VmDevice, VmsdBody
from migratable.stream.vmdesc import VmField as Entry
from migratable.stream.wire_format import SectionKind

_NESTED = frozenset({"tmp", "qtailq", "qlist"})
"""Types that write the members of what is in them into the field's own object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A stream whose sections are described.

    :ivar undescribed: ``(section, reason)`` of those that are not.
    """

    stream: Stream
    undescribed: tuple[tuple[Section, str], ...] = ()


def describe(stream: Stream, profile: Profile) -> Described:
    """Describe the sections of *stream* that are not, by the tables of the program that wrote it.

    :param profile: of the same program and command line; with its loader's tables.
    """
    if all(_named(section) for section in stream.devices):
        return Described(stream=stream)
    if profile.loader is None:
        why = "; ".join(profile.unchecked) or "the program's tables were not read"
        return Described(
            stream=stream, undescribed=tuple((section, why) for section in stream.devices)
        )
    writer = Baseline(profile, profile.loader)
    memory = Memory(profile.loader.words)
    missing: list[tuple[Section, str]] = []

    def described(section: Section) -> Section:
        if section.kind is not SectionKind.FULL or _named(section):
            return section
        try:
            return replace(section, description=_description(section, writer, memory))
        except UnexaminedError as reason:
            missing.append((section, str(reason)))
        except RefusedError as refused:
            missing.append((section, refused.problem.summary))
        except StreamEndError:
            missing.append((section, "it is shorter than the program's tables"))
        return section

    return Described(stream=map_sections(stream, described), undescribed=tuple(missing))


def _named(section: Section) -> bool:
    return section.description is not None and not section.description.opaque


def _description(section: Section, writer: Baseline, memory: Memory) -> VmDevice | None:
    handler = writer.find_se(section.idstr, section.instance_id)
    if handler is None or handler.idstr != section.idstr:
        raise UnexaminedError("the program as it was started has no such section")
    if handler.vmsd is None:
        return section.description  # a handler without VMState: QEMU describes it as bytes too
    own = writer.section(handler)
    recorder = _Recorder(
        tables=writer.tables,
        profile=writer.profile,
        f=QemuFile(section.body),
        memory=memory,
        handler=handler,
        exists=own.exists,
        sizes=own.sizes,
    )
    recorder.vmstate_load_state(
        handler.vmsd, handler.opaque, section.version_id, None, None, own.state
    )
    if recorder.f.pos != len(section.body):
        raise UnexaminedError(f"stream {len(section.body)} bytes, tables {recorder.f.pos}")
    (body, _), *_ = recorder.frames[0].bodies
    assert body is not None
    return VmDevice(idstr=section.idstr, instance_id=section.instance_id & 0xFFFFFFFF, body=body)


@dataclass(slots=True)
class _Frame:
    """What is read of one field, or of a body's subsections.

    :ivar bodies: bodies inside with their bytes on the wire; None for an element that is not there.
    """

    count: int = 1
    bodies: list[tuple[VmsdBody | None, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Record:
    """A body that is being read."""

    fields: list[Entry] = field(default_factory=list)
    subsections: tuple[VmsdBody, ...] = ()


@dataclass(slots=True)
class _Recorder(VMStateLoader):
    """A loader that judges nothing and notes what it reads."""

    frames: list[_Frame] = field(default_factory=lambda: [_Frame()])
    records: list[_Record] = field(default_factory=list)

    def ask(self, event: object) -> None:
        """No rule is asked: the program wrote this itself."""

    def vmstate_load_state(  # noqa: PLR0917 -- as the method that it extends
        self,
        index: int,
        opaque: int,
        version: int,
        parent: LoadedState | None,
        description: VmsdBody | None,
        own: LoadedState | None = None,
    ) -> LoadedState:
        """Read one body and note it in the frame around it."""
        start = self.f.pos
        record = _Record()
        self.records.append(record)
        body = VMStateLoader.vmstate_load_state(
            self, index, opaque, version, parent, description, own
        )
        self.records.pop()
        made = VmsdBody(
            name=body.vmsd.name,
            version=version,
            fields=tuple(record.fields),
            subsections=record.subsections,
        )
        self.frames[-1].bodies.append((made, self.f.pos - start))
        return body

    def vmstate_n_elems(self, body: LoadedState, item: VmField) -> int:
        n_elems = VMStateLoader.vmstate_n_elems(self, body, item)
        self.frames[-1].count = n_elems
        return n_elems

    def get_nullptr(self, body: LoadedState, item: VmField) -> None:
        VMStateLoader.get_nullptr(self, body, item)
        self.frames[-1].bodies.append((None, 1))

    def vmstate_load_field(
        self, body: LoadedState, position: int, item: VmField, cursor: VmdescCursor
    ) -> None:
        if item.flags & Flag.ARRAY_OF_POINTER_AUTO_ALLOC:
            raise UnexaminedError(f"{body.vmsd.name}:{item.name} has elements that are allocated")
        start = self.f.pos
        frame = _Frame()
        self.frames.append(frame)
        VMStateLoader.vmstate_load_field(self, body, position, item, cursor)
        self.frames.pop()
        if frame.count > 0:
            name = described_names(body.vmsd.fields)[position]
            self.records[-1].fields += self._entries(name, item, frame, self.f.pos - start)

    def vmstate_subsection_load(self, body: LoadedState, description: VmsdBody | None) -> None:
        frame = _Frame()
        self.frames.append(frame)
        VMStateLoader.vmstate_subsection_load(self, body, description)
        self.frames.pop()
        made = tuple(element for element, _ in frame.bodies if element is not None)
        self.records[-1].subsections = made

    def _entries(self, name: str, item: VmField, frame: _Frame, size: int) -> list[Entry]:
        """A field's entries: one, one for an array that can be compressed, or one an element."""
        count = frame.count
        kind = _type(item)
        if any(element is None for element, _ in frame.bodies):
            if len(frame.bodies) != count:
                raise UnexaminedError(f"{name} has null pointers among its numbers")
            return [
                _entry(
                    name,
                    item,
                    kind if element is not None else "nullptr",
                    bytes_,
                    element,
                    index=index,
                )
                for index, (element, bytes_) in enumerate(frame.bodies)
            ]
        inside = [element for element, _ in frame.bodies]
        if item.info in _NESTED:
            elements = tuple(element for element in inside if element is not None)
            return [Entry(name=name, type=kind, size=size, elements=elements)]
        if count == 1 or _compressible(item, self.tables):
            first = inside[0] if inside else _static(item, self.tables)
            length = count if count > 1 else None
            return [_entry(name, item, kind, size // count, first, array_len=length)]
        if frame.bodies:
            return [
                _entry(name, item, kind, bytes_, element, index=index)
                for index, (element, bytes_) in enumerate(frame.bodies)
            ]
        first = _static(item, self.tables)
        return [
            _entry(name, item, kind, size // count, first, index=index) for index in range(count)
        ]


def _type(item: VmField) -> str:
    """``vmfield_get_type_name``."""
    if item.flags & Flag.STRUCT:
        return "struct"
    return "vstruct" if item.flags & Flag.VSTRUCT else item.info or "unknown"


def _entry(
    name: str,
    item: VmField,
    kind: str,
    size: int,
    body: VmsdBody | None,
    *,
    index: int | None = None,
    array_len: int | None = None,
) -> Entry:
    return Entry(
        name=name,
        type=kind,
        size=size,
        index=index,
        array_len=array_len,
        struct=body if item.flags & Flag.STRUCT else None,
        elements=(body,) if body is not None and item.flags & Flag.VSTRUCT else (),
    )


def _compressible(item: VmField, tables: LoaderTables) -> bool:
    """``vmsd_can_compress``: every element looks alike."""
    if item.test:
        return False
    if item.vmsd is None or not item.flags & Flag.STRUCT:
        return True
    inner = tables.vmsds[item.vmsd]
    return not inner.subsections and all(_compressible(field, tables) for field in inner.fields)


def _static(item: VmField, tables: LoaderTables) -> VmsdBody | None:
    """The body of elements that were passed over at once: plain numbers alone."""
    if item.vmsd is None:
        return None
    inner: Vmsd = tables.vmsds[item.vmsd]
    names = described_names(inner.fields)
    fields = []
    for position, inside in enumerate(inner.fields):
        width = PLAIN.get(inside.info, inside.size)
        length = inside.num if inside.num > 1 else None
        fields.append(Entry(name=names[position], type=inside.info, size=width, array_len=length))
    return VmsdBody(name=inner.name, version=inner.version, fields=tuple(fields))
