"""VM state of a qcow2 internal snapshot (``savevm``, ``snapshot-save``).

The state is guest data beyond the disk's end, mapped by the snapshot's own L1 table; a snapshot's
table entry gives its length. Source: QEMU ``docs/interop/qcow2.txt``, ``block/qcow2-snapshot.c``.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from migratable.errors import ContainerError
from migratable.stream.containers.container import Container, Contents, Opening
from migratable.stream.containers.decompress import RATIO_FLOOR
from migratable.stream.cursor import Cursor, text

_MAX_SNAPSHOTS = 65_536
_MAX_L1 = 32 << 20
_OFFSET = 0x00FFFFFFFFFFFE00
_COMPRESSED = 1 << 62
_ZERO = 1
_EXTENDED_L2 = 1 << 4
_UNREADABLE = {1: "is corrupt (its own flag says so)", 2: "has an external data file"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One entry of the snapshot table.

    :ivar vm_state_size: bytes; 0 when only the disk was taken.
    """

    id: str
    name: str
    l1_offset: int
    l1_size: int
    vm_state_size: int


def snapshots(data: memoryview) -> list[Snapshot]:
    """Read the snapshot table.

    :raise ContainerError: when the image is of an old version or the table reaches past the file.
    """
    (version,) = _header(data, ">I", 4)
    count, offset = _header(data, ">IQ", 60)
    if version not in (2, 3):
        raise ContainerError(f"qcow2 version {version}", offset=4)
    if count > _MAX_SNAPSHOTS:
        raise ContainerError(f"qcow2 image with {count} snapshots", offset=60)
    cursor = Cursor(data, offset, path="qcow2 snapshot table")
    out: list[Snapshot] = []
    for _ in range(count):
        start = cursor.pos
        l1_offset, l1_size = cursor.u64(), cursor.u32()
        id_length, name_length = cursor.u16(), cursor.u16()
        cursor.skip(16)
        size, extra = cursor.u32(), cursor.u32()
        end = cursor.pos + extra
        if extra >= 8:
            size = cursor.u64()
        cursor.pos = min(end, cursor.end)
        out.append(
            Snapshot(
                id=text(cursor.view(id_length)),
                name=text(cursor.view(name_length)),
                l1_offset=l1_offset,
                l1_size=l1_size,
                vm_state_size=size,
            )
        )
        cursor.pos = start + (cursor.pos - start + 7) // 8 * 8
    return out


def _open(data: memoryview, opening: Opening) -> Contents:
    """Take the stream out of the snapshot that was asked for, or the only one with VM state."""
    snapshot = _choose(snapshots(data), opening.snapshot, opening.name)
    if snapshot.vm_state_size > opening.limit:
        raise ContainerError(
            f"{opening.name}: snapshot {snapshot.name!r} has {snapshot.vm_state_size} bytes of VM "
            f"state, the limit is {opening.limit}"
        )
    return Contents(data=_extract(data, snapshot), facts={"snapshot": snapshot.name})


def _choose(known: list[Snapshot], wanted: str | None, name: str) -> Snapshot:
    with_state = [snapshot for snapshot in known if snapshot.vm_state_size]
    if wanted is not None:
        exact = [one for one in with_state if wanted == one.name] or [
            one for one in with_state if wanted == one.id
        ]
        if exact:
            return exact[0]
    elif len(with_state) == 1:
        return with_state[0]
    if not with_state:
        raise ContainerError(
            f"{name} is a qcow2 image without VM state in its {len(known)} snapshots; only "
            "savevm and snapshot-save store one"
        )
    listed = ", ".join(f"{one.name!r} (id {one.id})" for one in with_state[:20])
    what = "several snapshots with VM state" if wanted is None else f"no snapshot {wanted!r}"
    raise ContainerError(f"{name} has {what}; choose one with --snapshot: {listed}")


def _header(data: memoryview, layout: str, offset: int) -> tuple[int, ...]:
    if len(data) < offset + struct.calcsize(layout):
        raise ContainerError("qcow2 header is cut short", offset=len(data))
    return struct.unpack_from(layout, data, offset)


def _extract(data: memoryview, snapshot: Snapshot) -> memoryview:
    bits, disk_size, crypt = _header(data, ">IQI", 20)
    version = _header(data, ">I", 4)[0]
    features = _header(data, ">Q", 72)[0] if version >= 3 else 0
    if not 9 <= bits <= 21:
        raise ContainerError(f"qcow2 cluster of 2^{bits} bytes", offset=20)
    if crypt:
        raise ContainerError("qcow2 image is encrypted; copy it decrypted first", offset=32)
    for bit, reason in _UNREADABLE.items():
        if features >> bit & 1:
            raise ContainerError(f"qcow2 image {reason}", offset=72)
    if snapshot.l1_size * 8 > _MAX_L1:
        raise ContainerError(f"qcow2 snapshot with {snapshot.l1_size} L1 entries")
    cluster = 1 << bits
    spread = cluster * (cluster // 8)  # what one full L2 table maps, 8-byte entries or not
    start = -(-disk_size // spread) * spread
    runs = list(_runs(data, snapshot, start, bits=bits, extended=bool(features & _EXTENDED_L2)))
    if len(runs) == 1 and runs[0][0] is not None:
        offset = runs[0][0]
        return data[offset : offset + snapshot.vm_state_size]
    return _assemble(data, runs, snapshot.vm_state_size)


def _runs(
    data: memoryview, snapshot: Snapshot, start: int, *, bits: int, extended: bool
) -> Iterator[tuple[int | None, int]]:
    """Where the state is: file offset (None: zeros) and length, neighbours joined."""
    entry_size = 16 if extended else 8
    per_table = (1 << bits) // entry_size
    run: tuple[int | None, int] | None = None
    position, left = start, snapshot.vm_state_size
    mapped = holes = 0
    while left > 0:
        index = position >> bits
        offset = _cluster(
            data, snapshot, divmod(index, per_table), entry_size=entry_size, position=position
        )
        length = min(left, 1 << bits)
        if offset is not None and offset + length > len(data):
            raise ContainerError(
                f"qcow2 cluster of VM state at {offset} is past the file's end; it is cut short",
                offset=len(data),
            )
        if offset is None:
            holes += length
        else:
            mapped += length
        if mapped > len(data):
            raise ContainerError(
                "qcow2 clusters of VM state are mapped twice, which QEMU never does",
                offset=snapshot.l1_offset,
            )
        if holes > max(RATIO_FLOOR, len(data)):
            raise ContainerError(
                f"qcow2 snapshot with {snapshot.vm_state_size} bytes of VM state, most of which "
                "are not in the file",
                offset=snapshot.l1_offset,
            )
        if run is not None and (
            (run[0] is None and offset is None)
            or (run[0] is not None and offset == run[0] + run[1])
        ):
            run = (run[0], run[1] + length)
        else:
            if run is not None:
                yield run
            run = (offset, length)
        position += length
        left -= length
    if run is not None:
        yield run


def _cluster(
    data: memoryview,
    snapshot: Snapshot,
    index: tuple[int, int],
    *,
    entry_size: int,
    position: int,
) -> int | None:
    l1_index, l2_index = index
    if l1_index >= snapshot.l1_size:
        return None
    table = _u64(data, snapshot.l1_offset + 8 * l1_index) & _OFFSET
    if not table:
        return None
    entry = _u64(data, table + entry_size * l2_index)
    if entry & _COMPRESSED:
        raise ContainerError(
            "qcow2 cluster of VM state is compressed, which QEMU never writes", offset=position
        )
    if entry_size == 8 and entry & _ZERO:
        return None
    return entry & _OFFSET or None


def _u64(data: memoryview, offset: int) -> int:
    if offset + 8 > len(data):
        raise ContainerError("qcow2 table is past the file's end", offset=offset)
    return int(struct.unpack_from(">Q", data, offset)[0])


def _assemble(data: memoryview, runs: list[tuple[int | None, int]], size: int) -> memoryview:
    """Copy the pieces into a sparse temporary file without a name."""
    import tempfile  # noqa: PLC0415 -- it imports much

    try:
        with tempfile.TemporaryFile() as file:
            at = 0
            for offset, length in runs:
                if offset is not None:
                    file.seek(at)
                    for piece in range(0, length, 1 << 20):
                        step = min(1 << 20, length - piece)
                        file.write(data[offset + piece : offset + piece + step])
                at += length
            file.truncate(size)
            file.flush()
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise ContainerError(f"cannot copy the VM state to a temporary file: {error}") from None


CONTAINER = Container(
    name="qcow2",
    magics=(b"QFI\xfb",),
    open=_open,
    remedy="load the snapshot in the source's QEMU and save it to a file (migrate file:guest.mig)",
)
