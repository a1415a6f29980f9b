"""The part of a virtio blob that each device writes itself.

Which fields are there depends on the source's options, which are not on the wire; a layout is taken
when it ends with the part's last byte. Sources: ``hw/net/virtio-net.c``, ``hw/block/virtio-blk.c``,
``hw/char/virtio-serial-bus.c``, ``hw/virtio/virtio-balloon.c``, ``hw/virtio/virtio-mem.c``,
``hw/virtio/virtio-iommu.c``; the other devices write nothing here (rng, input, scsi, gpu, 9p).
"""

from __future__ import annotations

from collections.abc import Callable

from migratable.errors import StreamError
from migratable.stream.builder import Builder
from migratable.stream.cursor import Cursor
from migratable.stream.decoded import Body

ELEMENT_SIZE = 49_168
"""``VirtQueueElementOld``: three u32, padding, 1024 addresses and 1024 iovecs each way."""
_CTRL_GUEST_OFFLOADS = 1 << 2


def decode(kind: str, cursor: Cursor, *, features: int, queues: int) -> Body | None:
    """Read the device part as fields, None when it is unknown or does not come out even."""
    start = cursor.pos
    for layout in _layouts(kind, features, queues):
        cursor.pos = start
        try:
            body = layout(cursor)
        except StreamError:
            continue
        if not cursor.remaining:
            return body
    return None


def _layouts(kind: str, features: int, queues: int) -> list[Callable[[Cursor], Body]]:
    if kind == "virtio-net":
        offloads = bool(features & _CTRL_GUEST_OFFLOADS)
        pairs = queues > 3
        return [
            lambda cursor, p=p, o=o: _net(cursor, pairs=p, offloads=o)  # type: ignore[misc]
            for p, o in (
                (pairs, offloads),
                (not pairs, offloads),
                (pairs, not offloads),
                (not pairs, not offloads),
            )
        ]
    if kind == "virtio-blk":
        return [
            lambda cursor, i=i, p=p: _blk(cursor, indexed=i, packed=p)  # type: ignore[misc]
            for i in (queues > 1, queues <= 1)
            for p in (False, True)
        ]
    if kind == "virtio-console":
        return [
            lambda cursor, p=p: _serial(cursor, packed=p)  # type: ignore[misc]
            for p in (False, True)
        ]
    if kind == "virtio-balloon":
        return [_balloon]
    if kind == "virtio-mem":
        return [_mem, _mem_early]
    if kind == "virtio-iommu":
        return [lambda cursor: _iommu(cursor, bypass=True), _iommu]
    return []


def _net(cursor: Cursor, *, pairs: bool, offloads: bool) -> Body:
    out = Builder(cursor, "virtio-net-device", 11)
    out.bytes("mac", 6)
    out.u32("vqs.tx_waiting")
    out.u32("mergeable_rx_bufs")
    out.u16("status")
    out.u8("promisc")
    out.u8("allmulti")
    macs = out.u32("mac_table.in_use")
    out.bytes("mac_table.macs", 6 * macs)
    out.bytes("vlans", 512)
    out.u32("has_vnet_hdr")
    for name in ("multi_overflow", "uni_overflow"):
        out.u8(f"mac_table.{name}")
    for name in ("alluni", "nomulti", "nouni", "nobcast", "has_ufo"):
        out.u8(name)
    if pairs:
        out.u16("max_queue_pairs")
        current = out.u16("curr_queue_pairs")
        if current > 1:
            out.numbers("vqs_1.tx_waiting", 4, current - 1)
    if offloads:
        out.u64("curr_guest_offloads")
    _named(out, {"virtio-net-device/rss": _rss})
    return out.body()


def _rss(out: Builder, version: int) -> None:
    for name in ("enabled", "redirect", "populate_hash"):
        out.flag(f"rss_data.{name}")
    out.u32("rss_data.hash_types")
    if version >= 2:
        out.u32("rss_data.supported_hash_types")
    length = out.u16("rss_data.indirections_len")
    out.u16("rss_data.default_queue")
    out.bytes("rss_data.key", 40)
    out.numbers("rss_data.indirections_table", 2, length)


def _blk(cursor: Cursor, *, indexed: bool, packed: bool) -> Body:
    out = Builder(cursor, "virtio-blk requests")
    requests: list[Body] = []
    while cursor.u8():
        request = Builder(cursor, "request")
        if indexed:
            request.u32("queue")
        _element(request, packed=packed)
        requests.append(request.body())
    out.structs("requests", tuple(requests), "list")
    return out.body()


def _element(out: Builder, *, packed: bool) -> None:
    """Read a request in flight; its raw struct is the source host's own, so it stays bytes."""
    out.bytes("element", ELEMENT_SIZE, "VirtQueueElementOld")
    if packed:
        out.u32("ndescs")


def _serial(cursor: Cursor, *, packed: bool) -> Body:
    out = Builder(cursor, "virtio-serial")
    out.u16("cols")
    out.u16("rows")
    ports = out.u32("max_nr_ports")
    if ports >= 1 << 24:  # the configuration's own byte order, where the device is big-endian
        ports = int.from_bytes(ports.to_bytes(4, "big"), "little")
    out.numbers("ports_map", 4, -(-ports // 32))
    count = out.u32("nr_active_ports")
    bodies = []
    for _ in range(count):
        port = Builder(cursor, "port")
        port.u32("id")
        port.flag("guest_connected")
        port.flag("host_connected")
        if port.u32("elem_popped"):
            port.u32("iov_idx")
            port.u64("iov_offset")
            _element(port, packed=packed)
        bodies.append(port.body())
    out.structs("ports", tuple(bodies))
    return out.body()


def _balloon(cursor: Cursor) -> Body:
    out = Builder(cursor, "virtio-balloon-device")
    out.u32("num_pages")
    out.u32("actual")

    def poison(sub: Builder, _: int) -> None:
        sub.u32("poison_val")

    def hint(sub: Builder, _: int) -> None:
        sub.u32("free_page_hint_cmd_id")
        sub.u32("free_page_hint_status")

    _named(
        out,
        {
            "virtio-balloon-device/free-page-report": hint,
            "virtio-balloon-device/page-poison": poison,
            "vitio-balloon-device/page-poison": poison,  # its spelling up to 5.2
        },
    )
    return out.body()


def _mem(cursor: Cursor) -> Body:
    out = Builder(cursor, "virtio-mem-device")
    for name in ("addr", "region_size", "block_size"):
        out.u64(name)
    out.u32("node")
    for name in ("usable_region_size", "size", "requested_size"):
        out.u64(name)
    out.bytes("bitmap", cursor.remaining - cursor.remaining % 8, "bitmap")
    return out.body()


def _mem_early(cursor: Cursor) -> Body:
    out = Builder(cursor, "virtio-mem-device")
    out.u64("usable_region_size")
    out.u64("requested_size")
    return out.body()


def _iommu(cursor: Cursor, *, bypass: bool = False) -> Body:
    """Domains with their mappings and endpoints; *bypass* came with version 2 (7.0)."""
    out = Builder(cursor, "virtio-iommu-device", 2 if bypass else 1)
    count = out.u32("nnodes")
    domains = []
    while cursor.u8():
        domain = Builder(cursor, "domain")
        domain.u64("key")
        domain.u32("id")
        domain.u32("nnodes")
        mappings = []
        while cursor.u8():
            mapping = Builder(cursor, "mapping")
            for name in ("low", "high", "phys_addr"):
                mapping.u64(name)
            mapping.u32("flags")
            mappings.append(mapping.body())
        domain.structs("mappings", tuple(mappings), "gtree")
        endpoints = []
        while cursor.u8():
            endpoint = Builder(cursor, "endpoint")
            endpoint.u32("id")
            endpoints.append(endpoint.body())
        domain.structs("endpoint_list", tuple(endpoints), "qlist")
        if bypass:
            domain.flag("bypass")
        domains.append(domain.body())
    if len(domains) != count:
        raise cursor.error(f"{len(domains)} domains, {count} announced")
    out.structs("domains", tuple(domains), "gtree")
    if bypass:
        out.u8("config.bypass")
    return out.body()


def _named(out: Builder, known: dict[str, Callable[[Builder, int], None]]) -> None:
    """Subsections of the device's own description."""
    cursor = out.cursor
    while cursor.peek() == 5:
        cursor.skip(1)
        name = cursor.counted()
        version = cursor.u32()
        if name not in known:
            raise cursor.error(f"unknown subsection {name!r}")
        sub = Builder(cursor, name, version)
        known[name](sub, version)
        out.subsections.append(sub.body())
