"""The head of a section (migration/savevm.c: ``save_section_header``), for all its readers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from migratable.stream.cursor import Cursor
from migratable.stream.wire_format import SectionKind

Start = TypeVar("Start")


@dataclass(frozen=True, slots=True, kw_only=True)
class SectionHeader:
    """What a START or FULL section begins with."""

    kind: SectionKind
    section_id: int
    idstr: str
    instance_id: int
    version_id: int


def read_header(cursor: Cursor) -> SectionHeader:
    """Read the header of a START or FULL section.

    :raise StreamError: when the stream ends in it.
    """
    with cursor.within("section header"):
        return SectionHeader(
            kind=SectionKind(cursor.u8()),
            section_id=cursor.u32(),
            idstr=cursor.counted(),
            instance_id=cursor.u32(),
            version_id=cursor.u32(),
        )


def read_part_header(cursor: Cursor, starts: Mapping[int, Start]) -> tuple[SectionKind, int, Start]:
    """Read the header of a PART or END section: its kind, its section id, and its START.

    :param starts: the iterated sections so far, by section id.
    :raise StreamError: when the stream ends in it, or no section has begun with that id.
    """
    with cursor.within("section header"):
        kind = SectionKind(cursor.u8())
        section_id = cursor.u32()
        start = starts.get(section_id)
        if start is None:
            raise cursor.error(f"{kind.name} of section id {section_id}, which has no START")
    return kind, section_id, start
