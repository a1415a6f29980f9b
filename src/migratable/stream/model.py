"""A migration stream as typed parts.

Parts are immutable. Large ones are views into the mapped file, so a stream of any size costs little
memory; :mod:`migratable.stream.edit` makes altered copies, :mod:`migratable.stream.writer` turns
the parts into bytes again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from migratable.stream.cursor import Buffer, Cursor
from migratable.stream.ram import RamBlock, RamStart, RamStatistics
from migratable.stream.vmdesc import VmDescription, VmDevice
from migratable.stream.wire_format import WHOLE, CommandKind, SectionKind

if TYPE_CHECKING:
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationSubsection:
    """One subsection of the configuration, body as on the wire."""

    name: str
    version: int
    body: Buffer
    offset: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """The configuration section: the first part of a stream, with facts about the source.

    :ivar machine: canonical machine type, ``pc-q35-10.0``.
    :ivar offset: place of the type byte 0x07; None when the section was made, not read.
    """

    machine: str
    subsections: tuple[ConfigurationSubsection, ...] = ()
    offset: int | None = None

    def subsection(self, name: str) -> ConfigurationSubsection | None:
        """Give the subsection ``configuration/NAME`` (*name* with or without the prefix)."""
        name = name if name.startswith("configuration/") else f"configuration/{name}"
        return next((sub for sub in self.subsections if sub.name == name), None)

    @property
    def target_page_bits(self) -> int | None:
        """Bits of a target page where they vary (Arm); None when the source did not say."""
        sub = self.subsection("target-page-bits")
        return None if sub is None else _cursor(sub).u32()

    @property
    def capabilities(self) -> tuple[str, ...]:
        """Migration capabilities that the destination must have on as well."""
        sub = self.subsection("capabilities")
        if sub is None:
            return ()
        cursor = _cursor(sub)
        return tuple(cursor.counted() for _ in range(cursor.u32()))

    @property
    def uuid(self) -> UUID | None:
        """The VM's UUID, sent when the capability ``validate-uuid`` is on."""
        sub = self.subsection("uuid")
        if sub is None:
            return None
        from uuid import UUID  # noqa: PLC0415 -- it imports much, and few streams have one

        return UUID(bytes=_cursor(sub).bytes(16))


def _cursor(sub: ConfigurationSubsection) -> Cursor:
    return Cursor(sub.body, base=sub.offset or 0, path=sub.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section. START and FULL introduce a device, PART and END continue a START.

    :ivar idstr: ``timer``, ``0000:00:01.0/virtio-net``; of PART and END that of their START.
    :ivar offset: place of the type byte in the stream; None when the section was made, not read.
    :ivar body_offset: place of the body's first byte, None likewise.
    :ivar footer: whether ``0x7e, section_id`` follows the body.
    :ivar description: what vmdesc says about the body; None for ram, htab and the like.
    """

    kind: SectionKind
    section_id: int
    idstr: str
    instance_id: int
    version_id: int
    body: Buffer
    footer: bool = True
    offset: int | None = None
    description: VmDevice | None = None

    @property
    def header_size(self) -> int:
        """Bytes from the type byte to the body."""
        if self.kind in (SectionKind.PART, SectionKind.END):
            return 5
        return 14 + len(self.idstr.encode("utf-8", "surrogateescape"))

    @property
    def body_offset(self) -> int | None:
        """Place of the body in the stream."""
        return None if self.offset is None else self.offset + self.header_size

    @property
    def name(self) -> str:
        """How messages call it: ``section 'timer' 0``."""
        return f"section {self.idstr!r} {self.instance_id}"

    def cursor(self) -> Cursor:
        """Give a cursor over the body, whose errors give offsets in the stream."""
        return Cursor(self.body, base=self.body_offset or 0, path=self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command from source to destination.

    :ivar kind: number of ``enum qemu_vm_cmd``; may be one that :class:`CommandKind` does not know.
    :ivar nested: for PACKAGED the elements of the package that follows the payload.
    :ivar package_end: bytes after the last nested element: the package's own EOF, if it has one.
    """

    kind: int
    payload: Buffer
    offset: int | None = None
    nested: tuple[Element, ...] = ()
    package_end: Buffer = b""

    @property
    def name(self) -> str:
        """QEMU's name for it, or its number."""
        try:
            return CommandKind(self.kind).name
        except ValueError:
            return f"command {self.kind:#x}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Undecoded bytes: rounds of ram (and htab) between the head and the devices.

    :ivar walked: True when they were walked, and only not kept one by one because there are many.
    :ivar sections: how many sections that was, when walked.
    :ivar undelimited: all that is left of a stream without vmdesc and footers (machine types of
        2.3 and before): only a loader with the right tables knows where its sections end.
    """

    data: Buffer
    offset: int | None = None
    walked: bool = False
    sections: int = 0
    undelimited: bool = False


Element: TypeAlias = Section | Command | Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A whole migration stream.

    :ivar configuration: None for ``xen-save-devices-state`` and ``send-configuration=off``.
    :ivar elements: sections, commands and spans in the order of the wire.
    :ivar eof: whether the final EOF byte is there.
    :ivar vmdesc: None when the source did not write one, or it cannot be read.
    :ivar vmdesc_error: why it cannot be read; a loader passes over it all the same.
    :ivar trailer: what follows: padding, or nothing.
    :ivar ram: the block list of the ``ram`` START section, None when there is no such section.
    :ivar ram_statistics: counts over the RAM records, None when these were not walked.
    :ivar page_size: bytes of a target page.
    :ivar container: what was around the stream: ``raw``, ``xz``, ``libvirt/gzip``, ``qcow2`` …
    :ivar facts: what the container says: ``domain_xml``, ``was_running``, ``snapshot``.
    """

    elements: tuple[Element, ...] = ()
    configuration: Configuration | None = None
    version: int = 3
    eof: bool = True
    vmdesc: VmDescription | None = None
    vmdesc_error: str = ""
    trailer: Buffer = b""
    ram: RamStart | None = None
    ram_statistics: RamStatistics | None = None
    page_size: int = 4096
    container: str = "raw"
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def sections(self) -> tuple[Section, ...]:
        """All sections that were taken apart, those inside packages too."""
        return tuple(element for element in flatten(self.elements) if isinstance(element, Section))

    @property
    def devices(self) -> tuple[Section, ...]:
        """The FULL sections: state of devices, machine, CPUs."""
        return tuple(section for section in self.sections if section.kind is SectionKind.FULL)

    @property
    def commands(self) -> tuple[Command, ...]:
        """All commands, those inside packages too."""
        return tuple(element for element in flatten(self.elements) if isinstance(element, Command))

    @property
    def machine(self) -> str | None:
        """The machine type's name, None without a configuration section."""
        return None if self.configuration is None else self.configuration.machine

    @property
    def ram_blocks(self) -> tuple[RamBlock, ...]:
        """RAM blocks that the source announces, in its order."""
        return () if self.ram is None else self.ram.blocks

    def device(self, idstr: str, instance_id: int | None = None) -> Section | None:
        """Give the first START or FULL section of that name (and instance)."""
        for section in self.sections:
            if (
                section.idstr == idstr
                and section.kind in WHOLE
                and instance_id in (None, section.instance_id)
            ):
                return section
        return None


def flatten(elements: tuple[Element, ...]) -> Iterator[Element]:
    """Elements in order, a package's after its command."""
    for element in elements:
        yield element
        if isinstance(element, Command):
            yield from flatten(element.nested)
