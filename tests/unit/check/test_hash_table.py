"""The hash page table's places (hw/ppc/spapr.c: htab_load)."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from migratable.check.devices.spapr import hash_table
from migratable.check.example import PSERIES
from migratable.check.problem import Problem, UnexaminedError
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind

NO_TABLE = 0xFFFFFFFF


def section(body: bytes, *, footer: bool = True) -> Section:
    return Section(
        kind=SectionKind.START,
        section_id=3,
        idstr="spapr/htab",
        instance_id=0,
        version_id=1,
        body=body,
        footer=footer,
    )


def start(shift: int) -> Section:
    return section(struct.pack(">I", shift))


def part(*chunks: tuple[int, int, int]) -> Section:
    body = b"\0\0\0\0"
    for index, valid, invalid in chunks:
        body += struct.pack(">IHH", index, valid, invalid) + bytes(16 * valid)
    return section(body + bytes(8))


def said(first: Section, *parts: Section) -> list[Problem]:
    return list(hash_table(first, parts, PSERIES))


def test_slots_inside() -> None:
    last = (1 << 14) - 3  # 2^18 bytes hold 2^14 slots
    assert said(start(18), part((0, 1, 0), (last, 2, 1))) == []
    assert said(start(NO_TABLE), section(struct.pack(">I", NO_TABLE))) == []


def test_slot_outside() -> None:
    (problem,) = said(start(18), part(), part((0x7FFFFFF0, 0, 1)), part((0x7FFFFFF0, 0, 1)))
    assert problem.rule == "field-validation"
    ((name, words),) = problem.words
    assert name == "htab-index"
    assert words == {"index": 0x7FFFFFF0, "valid": 0, "invalid": 1, "shift": 18}


@pytest.mark.parametrize(("shift", "parts"), [(0, ()), (64, ()), (NO_TABLE, (part((0, 1, 0)),))])
def test_what_no_source_sends(shift: int, parts: tuple[Section, ...]) -> None:
    with pytest.raises(UnexaminedError):
        said(start(shift), *parts)


def test_a_section_with_a_footer_ends_with_its_contents() -> None:
    """Seen on 10.0: ``Missing section footer for spapr/htab``."""
    begin, slots = start(18), part((0, 1, 0))
    for first, second in (
        (replace(begin, body=bytes(begin.body) + b"\0"), slots),
        (begin, replace(slots, body=bytes(slots.body) + b"\0")),
    ):
        with pytest.raises(UnexaminedError, match="further data"):
            said(first, second)
        assert said(replace(first, footer=False), replace(second, footer=False)) == []
