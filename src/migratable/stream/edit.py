"""Edited copies of a stream, with a matching vmdesc."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from migratable.stream import vmdesc
from migratable.stream.cursor import Buffer, counted
from migratable.stream.model import (
    Command,
    Configuration,
    Element,
    Section,
    Span,
    Stream,
    flatten,
)
from migratable.stream.pages import ram_end, ram_start
from migratable.stream.vmdesc import VmDescription, VmDevice, VmField, VmsdBody
from migratable.stream.wire_format import SectionKind


def make_stream(
    machine: str | None, elements: Iterable[Element], *, page_size: int = 4096
) -> Stream:
    """Make a stream: header, configuration (unless *machine* is None), elements, EOF."""
    configuration = None if machine is None else Configuration(machine=machine)
    return Stream(configuration=configuration, elements=tuple(elements), page_size=page_size)


def full_section(
    idstr: str,
    instance_id: int,
    version_id: int,
    body: Buffer,
    *,
    section_id: int,
    description: VmDevice | None = None,
) -> Section:
    """Make a device section with a footer."""
    return Section(
        kind=SectionKind.FULL,
        section_id=section_id,
        idstr=idstr,
        instance_id=instance_id,
        version_id=version_id,
        body=body,
        description=description,
    )


def with_elements(stream: Stream, elements: Iterable[Element]) -> Stream:
    """Give the stream with other elements; its vmdesc, if it has one, is made to fit them."""
    elements = tuple(elements)
    vmdesc = stream.vmdesc
    if vmdesc is not None:
        vmdesc = describe(elements, vmdesc.page_size, vmdesc.configuration)
    return replace(stream, elements=elements, vmdesc=vmdesc, trailer=b"")


def without_vmdesc(stream: Stream) -> Stream:
    """Give the stream without its trailer, as ``suppress-vmdesc`` makes it."""
    return replace(stream, vmdesc=None, trailer=b"")


def map_sections(stream: Stream, change: Callable[[Section], Section | None]) -> Stream:
    """Put every section through *change*; None drops it."""

    def changed(elements: Sequence[Element]) -> tuple[Element, ...]:
        out: list[Element] = []
        for element in elements:
            if isinstance(element, Section):
                new = change(element)
                if new is not None:
                    out.append(new)
            elif isinstance(element, Command) and element.nested:
                out.append(replace(element, nested=changed(element.nested)))
            else:
                out.append(element)
        return tuple(out)

    return with_elements(stream, changed(stream.elements))


def replace_section(stream: Stream, old: Section, new: Section) -> Stream:
    """Put *new* where *old* is."""
    return map_sections(stream, lambda section: new if section is old else section)


def drop_sections(stream: Stream, unwanted: Callable[[Section], bool]) -> Stream:
    """Leave sections out. PART and END go with their START when *unwanted* judges by idstr."""
    return map_sections(stream, lambda section: None if unwanted(section) else section)


def append_section(stream: Stream, section: Section) -> Stream:
    """Add a section after all others."""
    return with_elements(stream, (*stream.elements, section))


def free_section_id(stream: Stream) -> int:
    """Give an id that no section has."""
    return 1 + max((section.section_id for section in stream.sections), default=0)


def elide_ram(stream: Stream, pages: Iterable[tuple[str, int, bytes]] = ()) -> Stream:
    """Give the stream without RAM contents: block list kept, one END with the given pages.

    Rounds that were not taken apart go as a whole, and with them PART and END of ``spapr/htab``
    (its START stays: a table of that size, empty). Other iterated handlers lose their parts only
    when they were inside such a span. What nothing delimits stays. The block list of a mapped-ram
    file is written anew, as the pages were inside it.
    """
    out: list[Element] = []
    end: Section | None = None
    spans = any(
        isinstance(element, Span) and not element.undelimited for element in stream.elements
    )
    for element in stream.elements:
        if isinstance(element, Span):
            if element.undelimited:  # device state, to the stream's end
                out += [element] if end is None else [end, element]
                end = None
            continue
        if isinstance(element, Section) and element.idstr == "ram":
            if element.kind is SectionKind.START:
                end = ram_end(pages, section_id=element.section_id, footer=element.footer)
                if any(block.mapped for block in stream.ram_blocks):
                    blocks = [replace(block, mapped=None) for block in stream.ram_blocks]
                    element = ram_start(  # noqa: PLW2901 -- the same element, rewritten
                        blocks, section_id=element.section_id, footer=element.footer
                    )
            else:
                continue
        elif (
            spans
            and isinstance(element, Section)
            and element.kind in (SectionKind.PART, SectionKind.END)
        ):
            continue
        if end is not None and isinstance(element, Section) and element.kind is SectionKind.FULL:
            out.append(end)
            end = None
        out.append(element)
    if end is not None:
        out.append(end)
    configuration = stream.configuration
    if configuration is not None and "mapped-ram" in configuration.capabilities:
        configuration = without_capability(configuration, "mapped-ram")
    return replace(with_elements(stream, out), configuration=configuration, ram_statistics=None)


def without_capability(configuration: Configuration, name: str) -> Configuration:
    """Give the configuration without one of its capabilities."""
    left = [capability for capability in configuration.capabilities if capability != name]
    body = len(left).to_bytes(4, "big") + b"".join(map(counted, left))
    subsections = tuple(
        replace(sub, body=body) if sub.name == "configuration/capabilities" else sub
        for sub in configuration.subsections
        if left or sub.name != "configuration/capabilities"
    )
    return replace(configuration, subsections=subsections)


def describe(
    elements: Sequence[Element], page_size: int, configuration: VmsdBody | None = None
) -> VmDescription:
    """Make a vmdesc for these sections; a body that no longer fits it becomes opaque bytes."""
    description = VmDescription(
        page_size=page_size,
        devices=tuple(
            _described(element)
            for element in flatten(tuple(elements))
            if isinstance(element, Section) and element.kind is SectionKind.FULL
        ),
        configuration=configuration,
    )
    return replace(description, raw=vmdesc.dump(description))


def _described(section: Section) -> VmDevice:
    known = section.description
    if known is not None and known.size == len(section.body):
        return replace(known, idstr=section.idstr, instance_id=section.instance_id)
    data = VmField(name="data", type="buffer", size=len(section.body))
    return VmDevice(
        idstr=section.idstr,
        instance_id=section.instance_id,
        body=VmsdBody(name="", version=0, fields=(data,)),
    )
