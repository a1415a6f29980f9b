"""Rewrite a stream for a rehearsal: RAM blocks without contents, plus generated pages.

Nothing that the loader judges is changed. What goes besides RAM contents depends on how the stream
travelled, and a real migration's manager sets it on both sides: capabilities of the transport
(``x-ignore-shared``, ``mapped-ram``), the return path, postcopy's packaging.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from migratable.errors import StreamError
from migratable.rehearse.guest_pages import Page
from migratable.stream import (
    Command,
    CommandKind,
    Configuration,
    Element,
    RamBlock,
    Section,
    SectionKind,
    Span,
    Stream,
)
from migratable.stream.edit import (
    describe,
    drop_sections,
    elide_ram,
    free_section_id,
    map_sections,
    with_elements,
    without_capability,
)
from migratable.stream.pages import ram_start
from migratable.stream.reader import walk_ram

_MOST_RECORDS = 1 << 30
"""Bytes of RAM records that are walked for damage."""
_HTAB_SMALL = 22
_HTAB_MAX = 46
"""log2 of bytes; QEMU's own limits are 18 and 46."""
_TRANSPORT = ("x-ignore-shared", "mapped-ram")
_POSTCOPY = frozenset(
    {
        CommandKind.OPEN_RETURN_PATH,
        CommandKind.PING,
        CommandKind.POSTCOPY_ADVISE,
        CommandKind.POSTCOPY_LISTEN,
        CommandKind.POSTCOPY_RUN,
        CommandKind.POSTCOPY_RAM_DISCARD,
        CommandKind.PACKAGED,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A stream as any destination may get it, RAM contents still to be chosen.

    :ivar unchecked: what is not in the stream and so cannot be examined, in words.
    """

    stream: Stream
    unchecked: tuple[str, ...] = ()


def prepare(stream: Stream) -> Prepared:
    """Take the transport's own traces out, and bring device state out of postcopy's package."""
    configuration = stream.configuration
    transport = [] if configuration is None else list(configuration.capabilities)
    transport = [name for name in transport if name in _TRANSPORT]
    # Only with its handshake: a single command comes from the source, and QEMU refuses it.
    postcopy = any(command.kind == CommandKind.POSTCOPY_ADVISE for command in stream.commands)
    if not transport and not postcopy:
        return Prepared(stream=stream)
    unchecked = [f"capability {name}, which both sides must have on" for name in transport]
    for name in transport:
        assert configuration is not None
        configuration = without_capability(configuration, name)
    blocks = tuple(replace(block, gpa=None, page_size=None) for block in stream.ram_blocks)
    elements: tuple[Element, ...] = tuple(
        _plain_start(element, blocks) for element in stream.elements
    )
    vmdesc = stream.vmdesc
    if postcopy:
        unchecked.append("capability postcopy-ram, which both sides must have on")
        elements = _without_postcopy(elements)
        vmdesc = vmdesc or describe(elements, stream.page_size)
    stream = replace(
        with_elements(replace(stream, vmdesc=vmdesc), elements),
        configuration=configuration,
        ram=None if stream.ram is None else replace(stream.ram, blocks=blocks),
        eof=True if postcopy else stream.eof,
    )
    return Prepared(stream=stream, unchecked=tuple(unchecked))


def _without_postcopy(elements: Sequence[Element]) -> tuple[Element, ...]:
    out: list[Element] = []
    for element in elements:
        if isinstance(element, Command) and element.kind in _POSTCOPY:
            out += _without_postcopy_inside(element)
        else:
            out.append(element)
    return tuple(out)


def _without_postcopy_inside(command: Command) -> list[Element]:
    return [
        one for one in command.nested if not (isinstance(one, Command) and one.kind in _POSTCOPY)
    ]


def _plain_start(element: Element, blocks: Sequence[RamBlock]) -> Element:
    if (
        isinstance(element, Section)
        and element.idstr == "ram"
        and element.kind is SectionKind.START
        and not any(block.mapped for block in blocks)
    ):
        return ram_start(blocks, section_id=element.section_id, footer=element.footer)
    return element


def complete(stream: Stream, machine: str, main_ram: tuple[str, int]) -> Prepared:
    """Bare device state (``xen-save-devices-state``) gets what a migration has around it.

    :param machine: the destination's machine type.
    :param main_ram: block id and bytes of the destination's main memory.
    """
    block, size = main_ram
    start = ram_start([RamBlock(id=block, used_length=size)], section_id=free_section_id(stream))
    elements = (start, *stream.elements)
    stream = replace(
        stream,
        configuration=stream.configuration or Configuration(machine=machine),
        elements=elements,
        vmdesc=stream.vmdesc or describe(elements, stream.page_size),
    )
    told = ("machine type and RAM blocks, which are not in this source",)
    return Prepared(stream=stream, unchecked=told)


def without(stream: Stream, names: Collection[str]) -> Stream:
    """Leave out all sections of these names."""
    if not names:
        return stream
    return drop_sections(stream, lambda section: section.idstr in names)


def elide(stream: Stream, pages: Iterable[Page]) -> Stream:
    """Leave RAM contents out except *pages*, and a big pseries guest's hash page table."""
    return elide_ram(_small_htab(stream), pages)


def damaged_pages(stream: Stream) -> tuple[list[Page], tuple[str, ...]]:
    """Page records that no source sends, for the destination itself to judge; what they are not.

    Contents do not matter: it is their place or value that is refused.
    """
    statistics = stream.ram_statistics
    if statistics is None:
        size = sum(len(element.data) for element in stream.elements if isinstance(element, Span))
        if size > _MOST_RECORDS or stream.ram is None:
            return [], ("the records of guest memory (more than 1 GiB of them)",) if size else ()
        statistics = walk_ram(stream)
    pages: list[Page] = []
    for fault in statistics.faults:
        if fault.kind in {"block", "offset"}:
            pages.append((fault.block, fault.offset, bytes(stream.page_size)))
        elif fault.kind == "fill":
            pages.append((fault.block, fault.offset, bytes([fault.value])))
    left = {fault.kind for fault in statistics.faults} - {"block", "offset", "fill", "flush"}
    return pages, tuple(f"RAM records of the kind {kind}" for kind in sorted(left))


def _small_htab(stream: Stream) -> Stream:
    """Announce a small hash page table in the place of a big one, and none of its entries.

    Under TCG the loader allocates and zeroes whatever size a ``spapr/htab`` START says, and looks
    at the size no more (``spapr_reallocate_hpt``, 5.2 to 10.2): 64 GiB of RAM would cost 512 MiB.
    """
    start = stream.device("spapr/htab")
    if start is None or start.kind is not SectionKind.START or len(start.body) != 4:
        return stream
    if not _HTAB_SMALL < int.from_bytes(start.body, "big") <= _HTAB_MAX:
        return stream

    def small(section: Section) -> Section | None:
        if section.idstr != "spapr/htab":
            return section
        if section.kind is not SectionKind.START:
            return None
        return replace(section, body=_HTAB_SMALL.to_bytes(4, "big"))

    return map_sections(stream, small)


def need_ram(stream: Stream) -> None:
    """See that the stream holds guest memory, so that a guest can go on from it.

    :raise StreamError: When it does not, or not in its place (multifd, mapped-ram, postcopy).
    """
    if not has_ram(stream):
        raise StreamError(
            "this source's stream does not contain guest memory, so the guest cannot run from it; "
            "omit --alive, or give a stream saved without multifd, mapped-ram and x-ignore-shared"
        )


def has_ram(stream: Stream) -> bool:
    """Does the stream hold pages of guest memory, so that a guest could go on from it?"""
    total = sum(block.used_length for block in stream.ram_blocks)
    if not total:
        return False
    if any(block.mapped for block in stream.ram_blocks):
        return False
    size = sum(
        len(element.data if isinstance(element, Span) else element.body)
        for element in stream.elements
        if isinstance(element, Span)
        or (
            isinstance(element, Section)
            and element.idstr == "ram"
            and element.kind is not SectionKind.START
        )
    )
    # Every page that stays costs at least nine bytes.
    return size * (stream.page_size // 9) >= total // 2
