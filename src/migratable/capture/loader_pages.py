"""The pages of guest memory that a loader reads, for a stream that carries no others.

Which these are, and how most are made up, is known to the rehearsal
(:mod:`migratable.rehearse.guest_pages`): rings with nothing in flight, an option
ROM's header. Only the tables of an Intel IOMMU that the guest has on must come from the VM's
memory, and only these do.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from migratable.capture.assemble import full_stream
from migratable.rehearse.guest_pages import Kept, keep
from migratable.rehearse.iommu import PAGE, intel_tables
from migratable.rehearse.memory_map import MemoryMap
from migratable.stream import RamBlock, Stream, read, write

ReadMemory = Callable[[int, int], bytes]
"""Guest-physical address and size to contents."""


def loader_pages(
    state: Stream, blocks: Sequence[RamBlock], memory: MemoryMap, read_memory: ReadMemory
) -> Kept:
    """Work out the pages for the device state of a VM that runs on.

    :param state: what :func:`~migratable.capture.assemble.device_state` gives.
    :param read_memory: reads the VM's memory; called for an IOMMU's tables only.
    """
    tables = intel_tables(state, memory)

    def find(wanted: Mapping[str, Collection[int]]) -> dict[tuple[str, int], bytes]:
        found = {}
        for block, offsets in wanted.items():
            for offset in offsets:
                address = address_of(memory, block, offset)
                if address is not None:
                    found[block, offset] = read_memory(address, PAGE)
        return found

    pages: dict[tuple[str, int], bytes] = {}
    if tables is not None and not tables.scalable:
        tables.load(find)
        pages = tables.pages
    with_tables = full_stream(
        state,
        machine="",
        status="running",
        blocks=blocks,
        pages=[(block, offset, data) for (block, offset), data in pages.items()],
    )
    return keep(read(write(with_tables)), memory)


def address_of(memory: MemoryMap, block: str, offset: int) -> int | None:
    """Guest-physical address of a place in a block, None when the guest does not see it."""
    for one in memory.ranges:
        if one.block == block and one.offset <= offset <= one.offset + one.end - one.start:
            return one.start + offset - one.offset
    return None
