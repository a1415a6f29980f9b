"""Iterated handlers other than ram: where their START, PART and END bodies end.

``spapr/htab``  ``hw/ppc/spapr.c`` ``htab_load``: START u32 shift (log2 of the table's bytes; all
ones: no table); else u32 0, chunks of ``u32 index, u16 valid, u16 invalid, valid * 16 bytes``, and
eight zero bytes; u32 all ones alone when there is no table.

``dirty-bitmap``  ``migration/block-dirty-bitmap.c`` ``dirty_bitmap_load_header``.

``block``  ``migration/block.c`` (up to 9.0) ``block_load``.

``…/vfio``  ``hw/vfio/migration.c`` ``vfio_load_state``: u64 markers ``0xffffffffef10000N``.

``s390-storage_attributes``  ``hw/s390x/s390-stattrib.c`` ``cmma_load``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from migratable.stream.cursor import Cursor

NO_HTAB = 0xFFFFFFFF
"""In place of a shift: the guest has no hash page table (radix, or not set up)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HtabChunk:
    """Consecutive slots of the hash page table: valid entries with data, then invalid ones."""

    index: int
    valid: int
    invalid: int


def read_htab_start(cursor: Cursor) -> int | None:
    """Read the table's log2 size in bytes; None when there is no table."""
    shift = cursor.u32()
    return None if shift == NO_HTAB else shift


def read_htab(cursor: Cursor) -> tuple[HtabChunk, ...]:
    """Read a PART or END body.

    :raise StreamError: when a START comes where a part is due, or the end marker is missing.
    """
    head = cursor.u32()
    if head == NO_HTAB:
        return ()
    if head:
        raise cursor.error(f"htab part expected, got a start with shift {head}")
    chunks: list[HtabChunk] = []
    while True:
        chunk = HtabChunk(index=cursor.u32(), valid=cursor.u16(), invalid=cursor.u16())
        if chunk == HtabChunk(index=0, valid=0, invalid=0):
            return tuple(chunks)
        cursor.skip(16 * chunk.valid)
        if len(chunks) < 100_000:
            chunks.append(chunk)


def walk_dirty_bitmap(cursor: Cursor) -> None:
    """Skip one body of the ``dirty-bitmap`` handler, up to and with its EOS."""
    while True:
        flags = cursor.u8()
        if flags & 0x80:
            flags = flags << 8 | cursor.u8()
            if flags & 0x80:
                flags = flags << 16 | cursor.u16()
        if flags & 0x08:
            cursor.counted()
        if flags & 0x04:
            cursor.counted()
        if flags & 0x10:
            cursor.skip(5)
        elif flags & 0x40:
            cursor.skip(12)
            if not flags & 0x02:
                cursor.skip(cursor.u64())
        elif not flags & 0x21:
            raise cursor.error(f"unknown dirty-bitmap flags {flags:#x}")
        if flags & 0x01:
            return


def walk_block(cursor: Cursor) -> None:
    """Skip one body of the ``block`` handler (disk contents, up to 9.0)."""
    while True:
        record = cursor.u64()
        flags = record & 0x1FF
        if flags & 0x01:
            cursor.counted()
            if not flags & 0x08:
                cursor.skip(1 << 20)
        elif flags & 0x02:
            return
        elif not flags & 0x04:
            raise cursor.error(f"unknown block flags {flags:#x}")


def walk_vfio(cursor: Cursor) -> None:
    """Skip one body of a vfio device, up to and with its end marker."""
    while True:
        marker = cursor.u64()
        if marker == 0xFFFFFFFFEF100001:  # END_OF_STATE
            return
        if marker == 0xFFFFFFFFEF100004:  # DEV_DATA_STATE
            cursor.skip(cursor.u64())
        elif marker == 0xFFFFFFFFEF100002:  # DEV_CONFIG_STATE: PCI config, opaque to us
            window = bytes(cursor.data[cursor.pos : min(cursor.end, cursor.pos + (1 << 16))])
            cursor.skip(max(window.find((0xFFFFFFFFEF100001).to_bytes(8, "big")), 0))
        elif marker not in (0xFFFFFFFFEF100003, 0xFFFFFFFFEF100005):
            raise cursor.error(f"unknown vfio marker {marker:#x}")


def walk_stattrib(cursor: Cursor) -> None:
    """Skip one body of the s390 storage attributes."""
    while True:
        flags = cursor.u64() & 0xFFF
        if flags & 0x01:
            return
        if flags & 0x02:
            cursor.skip(cursor.u64())
        elif not flags & 0x08:
            raise cursor.error(f"unknown storage attribute flags {flags:#x}")


def walker(idstr: str) -> Callable[[Cursor], object] | None:
    """Give the function that finds the end of a PART or END body of a handler other than ram."""
    if idstr == "spapr/htab":
        return read_htab
    if idstr == "dirty-bitmap":
        return walk_dirty_bitmap
    if idstr == "block":
        return walk_block
    if idstr.endswith("/vfio"):
        return walk_vfio
    if idstr.endswith("s390-storage_attributes"):
        return walk_stattrib
    return None


def start_walker(idstr: str) -> Callable[[Cursor], object] | None:
    """Find the same for a START body."""
    return read_htab_start if idstr == "spapr/htab" else walker(idstr)
