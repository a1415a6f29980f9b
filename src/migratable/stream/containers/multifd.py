"""multifd RAM channels: pages that go beside the main stream.

A channel is an init message (64 bytes) and packets: a header of 320 bytes with the block's name,
page offsets (normal pages first, then, since 9.0, zero pages), then the normal pages' payload.
Source: ``migration/multifd.c`` ``MultiFDInit_t``, ``MultiFDPacket_t``; 4.1 to 11.1.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from migratable.stream.cursor import Buffer, Cursor, text

MAGIC = 0x11223344
_SYNC = 1
_DEVICE_STATE = 1 << 6
_COMPRESSIONS = {0: "none", 1: "zlib", 2: "zstd", 4: "qpl", 8: "uadk", 16: "qatzip"}
_MAX_PAGES = 1 << 20
_MAX_BLOCKS = 10_000
_PACKET_BYTES = 512 << 10


@dataclass(slots=True, kw_only=True)
class ChannelBlock:
    """Pages of one RAM block in a channel."""

    normal: int = 0
    zero: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel, walked to its end.

    :ivar id: the channel's number; the uuid is the source VM's.
    :ivar device_packets: packets of device state (vfio, 10.0 on).
    """

    id: int
    uuid: uuid.UUID
    packets: int = 0
    syncs: int = 0
    device_packets: int = 0
    compression: str = "none"
    blocks: dict[str, ChannelBlock] = field(default_factory=dict)


def is_channel(data: memoryview) -> bool:
    """Whether *data* begins as a channel does."""
    return bytes(data[:8]) == MAGIC.to_bytes(4, "big") + b"\0\0\0\1"


def read_channel(data: Buffer) -> Channel:
    """Walk a channel's packets.

    :raise StreamError: when a packet is malformed or the channel ends inside one.
    """
    cursor = Cursor(data, path="multifd channel")
    if not is_channel(cursor.data):
        raise cursor.error("no multifd init message", offset=0)
    cursor.skip(8)
    vm = uuid.UUID(bytes=cursor.bytes(16))
    channel_id = cursor.u8()
    cursor.skip(39)
    blocks: dict[str, ChannelBlock] = {}
    packets = syncs = devices = 0
    compression = "none"
    capacity = 0
    while cursor.remaining:
        start = cursor.offset
        magic, version, flags = cursor.u32(), cursor.u32(), cursor.u32()
        if magic != MAGIC or version != 1:
            raise cursor.error(f"packet magic {magic:#x}, version {version}", offset=start)
        packets += 1
        if flags & _DEVICE_STATE:
            cursor.skip(256 + 4)
            cursor.skip(cursor.u32())
            devices += 1
            continue
        if flags & _SYNC:
            syncs += 1
        kind = flags >> 1 & 0x1F
        compression = _COMPRESSIONS.get(kind, f"method {kind}") if kind else compression
        capacity = cursor.u32() or capacity
        normal, size = cursor.u32(), cursor.u32()
        cursor.skip(8)
        zero = cursor.u32()
        cursor.skip(28)
        name = text(cursor.view(256)).partition("\0")[0]
        payload = size if normal else 0
        if not capacity:
            capacity = _capacity(cursor, payload)
        if normal + zero > capacity or capacity > _MAX_PAGES:
            raise cursor.error(f"packet of {normal} + {zero} pages for {capacity}", offset=start)
        cursor.skip(8 * capacity)
        cursor.skip(payload)
        if normal:
            blocks.setdefault(name, ChannelBlock()).bytes += payload
        if normal or zero:
            block = blocks.setdefault(name, ChannelBlock())
            block.normal += normal
            block.zero += zero
        if len(blocks) > _MAX_BLOCKS:
            raise cursor.error(f"pages of more than {_MAX_BLOCKS} RAM blocks", offset=start)
    return Channel(
        id=channel_id,
        uuid=vm,
        packets=packets,
        syncs=syncs,
        device_packets=devices,
        compression=compression,
        blocks=blocks,
    )


def _capacity(cursor: Cursor, payload: int) -> int:
    """Entries of the offset table, when the packet does not say (pure SYNC packets, 10.0 on).

    A packet is for 512 KiB of pages; the next one, or the channel's end, must follow.
    """
    for page_bits in (12, 16, 13, 14, 10, 11, 15):
        entries = _PACKET_BYTES >> page_bits
        end = cursor.pos + 8 * entries + payload
        if end == cursor.end or bytes(cursor.data[end : end + 4]) == MAGIC.to_bytes(4, "big"):
            return entries
    return _PACKET_BYTES >> 12
