"""Streams with neither footers nor vmdesc: only the tables show where a section ends."""

from __future__ import annotations

import re
from collections.abc import Callable

from migratable.check.findings import finding_of
from migratable.check.problem import Problem
from migratable.check.record import Record
from migratable.check.tracker import SectionOutcome
from migratable.errors import StreamError
from migratable.stream.cursor import Cursor
from migratable.stream.model import Section
from migratable.stream.wire_format import WHOLE, SectionKind
from migratable.unchecked import Code

_MOST_SECTIONS = 1 << 12
#: Type, number and length of the name of a section, and the characters of names.
_HEADER = re.compile(rb"\x04(?P<id>\x00\x00..)(?P<length>[\x03-\xff])", re.DOTALL)
_IDSTR = re.compile(rb"[A-Za-z0-9][\w@:./+ -]*", re.ASCII)


def load(replay: Record, data: bytes, load_section: Callable[[Section], SectionOutcome]) -> None:
    """Load the rest of such a stream; each section ends where the destination's tables end.

    :param load_section: ``qemu_loadvm_section_start_full``.
    """
    cursor = Cursor(data)
    try:
        while cursor.peek() in WHOLE:
            kind = SectionKind(cursor.u8())
            section = Section(
                kind=kind,
                section_id=cursor.u32(),
                idstr=cursor.counted(),
                instance_id=cursor.u32(),
                version_id=cursor.u32(),
                body=data[cursor.pos :],
                footer=False,
            )
            outcome = load_section(section)
            replay.add_outcome(outcome)
            consumed = outcome.consumed
            if consumed is None:
                consumed = next_header(replay, section, data, cursor.pos)
            if consumed is None:
                return
            cursor.skip(consumed)
    except StreamError as error:
        replay.add_unexamined(str(error), Code.STREAM)
        return
    if left := cursor.peek():
        problem = Problem(
            rule="layout",
            summary="section size differs: the tables end inside a section of the stream",
            words=(("unknown-section-type", {"type": left}),),
        )
        replay.note(finding_of(problem, replay.release, None, None))


def next_header(replay: Record, section: Section, data: bytes, begin: int) -> int | None:
    """Bytes of a section of old style: up to what can only be the next one's header."""
    se = replay.baseline.find_se(section.idstr, section.instance_id)
    if se is None or se.vmsd is not None:
        return None
    for header in _HEADER.finditer(data, begin):
        name = data[header.end() : header.end() + header["length"][0]]
        number = int.from_bytes(header["id"], "big")
        later = 0 < number - section.section_id < _MOST_SECTIONS
        if later and len(name) == header["length"][0] and _IDSTR.fullmatch(name):
            return header.start() - begin
    replay.add_unexamined(f"{section.idstr}: where its section ends")
    return None
