"""Rings of virtio devices whose memory the destination has elsewhere."""

from __future__ import annotations

import pytest

from migratable.check.devices.pc_memory import PcMemory, _pc_memory, pc_memory, rings_agree
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind

MIB = 1 << 20
SMALL, BIG = PcMemory(below=128 * MIB, above=0), PcMemory(below=256 * MIB, above=0)


def device(desc: int, last_avail_idx: int, *, cut: int = 0) -> Section:
    """A virtio-rng on MMIO with one legacy ring of 8 entries."""
    queue = (8).to_bytes(4) + (4096).to_bytes(4) + desc.to_bytes(8) + last_avail_idx.to_bytes(2)
    blob = bytes(12) + bytes((0, 0)) + bytes(2) + bytes(4) + bytes(4) + (1).to_bytes(4) + queue
    return Section(
        kind=SectionKind.FULL,
        section_id=9,
        idstr="virtio-mmio@00000000feb00e00/virtio-rng",
        instance_id=0,
        version_id=1,
        body=blob[: len(blob) - cut],
    )


@pytest.mark.parametrize(
    ("desc", "index", "agrees"),
    [
        (0, 0, True),  # no driver
        (64 * MIB, 9999, True),  # in the same place on both sides
        (128 * MIB - 4096, 9, False),  # the used ring is behind what both have
        (200 * MIB, 8, True),  # reads as zeros: eight in use
        (200 * MIB, 9, False),  # more in use than the ring holds
        (5 << 30, 0, False),
    ],
)
def test_rings(desc: int, index: int, agrees: bool) -> None:
    assert rings_agree(device(desc, index), BIG, SMALL) is agrees


def test_rings_of_an_unreadable_device_or_machine() -> None:
    assert not rings_agree(device(64 * MIB, 0, cut=7), BIG, SMALL)
    assert not rings_agree(device(64 * MIB, 0), None, SMALL)
    assert rings_agree(device(0, 0), None, None)


#: Bytes from a ring's address to the end of its used ring: 8 entries, aligned to 4096.
SPAN = 4096 + 8 * 8 + 6


@pytest.mark.parametrize(("below", "agrees"), [(SPAN, True), (SPAN - 1, False)])
def test_a_ring_ends_where_the_memory_ends(below: int, agrees: bool) -> None:
    here = PcMemory(below=64 * MIB + below, above=0)
    assert rings_agree(device(64 * MIB, 8), BIG, here) is agrees
    assert rings_agree(device(64 * MIB, 9), here, BIG) is agrees


@pytest.mark.parametrize(("before", "agrees"), [(8192, True), (4096, False)])
def test_a_ring_below_four_gibibytes(before: int, agrees: bool) -> None:
    assert rings_agree(device((4 << 30) - before, 8), BIG, SMALL) is agrees


def test_memory_that_is_lacking() -> None:
    assert SMALL.lacks(128 * MIB)
    assert not SMALL.lacks(128 * MIB - 1)
    assert SMALL.lacks((4 << 30) - 1)
    assert not SMALL.lacks(4 << 30)
    assert not PcMemory(below=0, above=0).lacks(64 * MIB)


def test_a_pc_says_its_memory_in_its_clock_chip() -> None:
    """hw/i386/pc.c: pc_cmos_init: registers 0x34 and 0x5b, in units of 64 KiB."""
    cmos = bytearray(128)
    assert _pc_memory(bytes(cmos)) == PcMemory(below=0, above=0)
    cmos[0x34:0x36] = (0x700).to_bytes(2, "little")
    cmos[0x5B:0x5E] = (0x10000).to_bytes(3, "little")
    assert _pc_memory(bytes(cmos)) == PcMemory(below=128 * MIB, above=4 << 30)
    assert _pc_memory(bytes(cmos[:127])) is None
    for beside in (0x33, 0x36, 0x5A, 0x5E):  # other registers
        cmos[beside] = 0xFF
    assert _pc_memory(bytes(cmos)) == PcMemory(below=128 * MIB, above=4 << 30)
    assert _pc_memory(bytes(7) + bytes(cmos), 7) == PcMemory(below=128 * MIB, above=4 << 30)
    assert _pc_memory(bytes(7) + bytes(cmos[:127]), 7) is None
    assert pc_memory([]) is None
