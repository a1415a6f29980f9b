"""The virtio blob: one field ``virtio`` to vmdesc, all of a virtio device's state in fact.

::

    blob      = transport, u8 status, u8 isr, u16 queue_sel, u32 guest_features,
                u32 config_len, config, u32 queues, queue*, device part, virtio subsections
    transport = PCI:  i32 version, config (256 or 4096 bytes), 4 * u32 irq
                      [, MSI-X table (16 * n), pending bits (ceil(n / 8)), u16 config_vector]
              | MMIO: 3 * u32
    queue     = u32 num [, u32 align], u64 desc, u16 last_avail_idx [, u16 vector]

Nothing says which transport, configuration size or device part it is; the configuration's own
capability list does (MSI-X 0x11, PCI Express 0x10), and what is left after the queues must end in
``virtio/…`` subsections that fill the blob to its last byte. Source: ``hw/virtio/virtio.c``
``virtio_save``, ``hw/virtio/virtio-pci.c``, ``hw/virtio/virtio-mmio.c``; 4.1 to 11.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from migratable.errors import StreamError
from migratable.stream.builder import Builder
from migratable.stream.cursor import Buffer, Cursor
from migratable.stream.decoded import Body
from migratable.stream.virtio import devices as virtio_devices

QUEUE_MAX = 1024
"""VIRTIO_QUEUE_MAX; subsections have that many entries whatever the device has."""
PCI_CAP_EXPRESS = 0x10
PCI_CAP_MSIX = 0x11
_KNOWN = re.compile(rb"(?s)\x05.virtio/[a-z0-9_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """One virtqueue.

    :ivar num: ring size in entries; :ivar num_default: its size after reset, None when not sent.
    :ivar desc: guest address of the descriptors; 0: the driver has not set the queue up.
    :ivar avail: guest addresses from ``virtio/virtqueues``; None for a legacy device, whose rings
    :ivar used: follow the descriptors.
    """

    num: int
    desc: int
    last_avail_idx: int
    align: int | None = None
    vector: int | None = None
    num_default: int | None = None
    avail: int | None = None
    used: int | None = None

    @property
    def avail_address(self) -> int:
        """Guest address of the available ring."""
        return self.avail if self.avail is not None else self.desc + 16 * self.num

    @property
    def used_address(self) -> int:
        """Guest address of the used ring (``virtio_queue_update_rings``)."""
        if self.used is not None:
            return self.used
        align = self.align or 4096
        end = self.avail_address + 4 + 2 * self.num + 2
        return -(-end // align) * align


@dataclass(frozen=True, slots=True, kw_only=True)
class Virtio:
    """A parsed blob.

    :ivar transport: ``pci``, ``mmio``, or None when there is none (a bare virtio body).
    :ivar pci_config: 256 or 4096 bytes.
    :ivar pci_config_offset: its place in the stream.
    :ivar msix_entries: size of the MSI-X table, None without MSI-X.
    :ivar guest_features: all bits that the guest acknowledged, from the subsections if sent.
    :ivar device: the bytes between queues and subsections, which only that device knows.
    :ivar subsections: names of the ``virtio/…`` subsections that were sent.
    :ivar body: everything as fields.
    """

    transport: str | None
    pci_config: memoryview | None
    pci_config_offset: int | None
    msix_entries: int | None
    config_vector: int | None
    status: int
    isr: int
    queue_sel: int
    guest_features_low: int
    guest_features: int
    config: memoryview
    queues: tuple[Queue, ...]
    device: memoryview
    device_offset: int
    subsections: tuple[str, ...]
    body: Body
    size: int

    @property
    def modern(self) -> bool:
        """Whether the guest negotiated VERSION_1 (feature bit 32)."""
        return bool(self.guest_features >> 32 & 1)

    @property
    def packed(self) -> bool:
        """Whether the guest took packed rings (bit 34); the subsection alone does not say so."""
        return bool(self.guest_features >> 34 & 1)


def parse(data: Buffer, *, offset: int = 0, idstr: str = "", exact: bool = True) -> Virtio:
    """Take a blob apart.

    :param offset: its place in the stream, for fields and errors.
    :param idstr: the section's, which names transport and device
        (``0000:00:01.0/virtio-net``).
    :param exact: False when *data* goes on after the blob; the end is then where the last
        subsection ends.
    :raise StreamError: when no transport makes the blob end where it must.
    """
    first: StreamError | None = None
    for transport, config_size in _transports(memoryview(data), idstr):
        cursor = Cursor(data, base=offset, path=f"virtio of {idstr!r}")
        try:
            return _parse(cursor, transport, config_size, idstr, exact=exact)
        except StreamError as error:
            first = first or error
    assert first is not None
    raise first


def _transports(data: memoryview, idstr: str) -> Iterator[tuple[str | None, int]]:
    """Transports to try, the likeliest first."""
    if "virtio-mmio" in idstr:
        yield "mmio", 0
        return
    if len(data) >= 4 + 256 and int.from_bytes(data[:4], "big") in (1, 2):
        express = PCI_CAP_EXPRESS in dict(pci_capabilities(data[4:260]))
        sizes = (4096, 256) if express and len(data) >= 4 + 4096 else (256, 4096)
        for size in sizes:
            yield "pci", size
        return
    yield "mmio", 0
    yield None, 0


def pci_capabilities(config: Buffer) -> Iterator[tuple[int, int]]:
    """Capabilities of a PCI configuration space: id and offset, in list order."""
    if not config[6] & 0x10:
        return
    at = config[0x34] & 0xFC
    seen: set[int] = set()
    while at >= 0x40 and at not in seen:
        seen.add(at)
        yield config[at], at
        at = config[at + 1] & 0xFC


def _parse(
    cursor: Cursor, transport: str | None, config_size: int, idstr: str, *, exact: bool
) -> Virtio:
    start = cursor.pos
    out = Builder(cursor, "virtio")
    pci_config = pci_offset = msix = config_vector = None
    if transport == "pci":
        out.integer("version_id", 4, "int32 le")
        pci_offset = cursor.offset
        pci_config = out.bytes("config", config_size, "pci config")
        out.numbers("irq_state", 4, 4)
        where = dict(pci_capabilities(pci_config)).get(PCI_CAP_MSIX)
        if where is not None:
            msix = (int.from_bytes(pci_config[where + 2 : where + 4], "little") & 0x7FF) + 1
            out.bytes("msix_table", 16 * msix)
            out.bytes("msix_pba", -(-msix // 8))
            config_vector = out.u16("config_vector")
    elif transport == "mmio":
        for name in ("host_features_sel", "guest_features_sel", "guest_page_shift"):
            out.u32(name)
    status = out.u8("status")
    isr = out.u8("isr")
    queue_sel = out.u16("queue_sel")
    features = out.u32("guest_features")
    config = out.bytes("device_config", out.u32("config_len"))
    count = out.u32("queues")
    if count > QUEUE_MAX:
        raise cursor.error(f"{count} virtqueues, at most {QUEUE_MAX}", offset=cursor.offset - 4)
    bodies = tuple(
        _queue(cursor, aligned=transport == "mmio", vector=msix is not None) for _ in range(count)
    )
    out.structs("vq", bodies)
    at, subsections, end = _split(cursor, exact=exact)
    device_offset = cursor.offset
    device = cursor.data[cursor.pos : at]
    named = {sub.name: sub for sub in subsections}
    guest_features = _features(features, named)
    kind = idstr.rpartition("/")[2]
    _device_part(out, kind, device, features=guest_features, queues=count)
    cursor.pos = end
    out.subsections.extend(subsections)
    return Virtio(
        transport=transport,
        pci_config=pci_config,
        pci_config_offset=pci_offset,
        msix_entries=msix,
        config_vector=config_vector,
        status=status,
        isr=isr,
        queue_sel=queue_sel,
        guest_features_low=features,
        guest_features=guest_features,
        config=config,
        queues=_queues(bodies, named),
        device=device,
        device_offset=device_offset,
        subsections=tuple(named),
        body=out.body(),
        size=end - start,
    )


def _queue(cursor: Cursor, *, aligned: bool, vector: bool) -> Body:
    out = Builder(cursor, "virtqueue")
    out.u32("num")
    if aligned:
        out.u32("align")
    out.u64("desc")
    out.u16("last_avail_idx")
    if vector:
        out.u16("vector")
    return out.body()


def _features(low: int, named: dict[str, Body]) -> int:
    high = named.get("virtio/64bit_features")
    value = low if high is None else _int(high, "guest_features")
    more = named.get("virtio/128bit_features")
    return value if more is None else value | _int(more, "guest_features_ex") << 64


def _int(body: Body, name: str) -> int:
    value = body.value(name)
    return value if isinstance(value, int) else 0


def _queues(bodies: tuple[Body, ...], named: dict[str, Body]) -> tuple[Queue, ...]:
    rings = _table(named, "virtio/virtqueues")
    sizes = _table(named, "virtio/ringsize")
    return tuple(
        Queue(
            num=_int(body, "num"),
            desc=_int(body, "desc"),
            last_avail_idx=_int(body, "last_avail_idx"),
            align=_int(body, "align") if body.field("align") else None,
            vector=_int(body, "vector") if body.field("vector") else None,
            num_default=sizes[number] if sizes else None,
            avail=rings[2 * number] if rings else None,
            used=rings[2 * number + 1] if rings else None,
        )
        for number, body in enumerate(bodies)
    )


def _table(named: dict[str, Body], name: str) -> tuple[int, ...]:
    value = named[name].fields[0].value if name in named else None
    return value if isinstance(value, tuple) else ()


# The device part and the subsections after it


def _split(cursor: Cursor, *, exact: bool) -> tuple[int, list[Body], int]:
    """Where the subsections begin, what they are, and where they end."""
    window = cursor.data[cursor.pos : cursor.end]
    for match in _KNOWN.finditer(window):
        at = cursor.pos + match.start()
        attempt = Cursor(cursor.data, at, end=cursor.end, base=cursor.base, path=cursor.path)
        try:
            found = [_subsection(attempt)]
            while attempt.peek() == 5 and _KNOWN.match(attempt.data, attempt.pos):
                found.append(_subsection(attempt))
        except StreamError:
            continue
        if not exact or not attempt.remaining:
            return at, found, attempt.pos
    return (cursor.end, [], cursor.end) if exact else (cursor.pos, [], cursor.pos)


def _subsection(cursor: Cursor) -> Body:
    cursor.skip(1)
    name = cursor.counted()
    out = Builder(cursor, name, cursor.u32())
    with cursor.within(name):
        if name == "virtio/device_endian":
            out.u8("device_endian")
        elif name == "virtio/64bit_features":
            out.u64("guest_features")
        elif name == "virtio/128bit_features":
            out.u64("guest_features_ex")
        elif name == "virtio/virtqueues":
            out.numbers("vring.avail, vring.used", 8, 2 * QUEUE_MAX)
        elif name == "virtio/ringsize":
            out.numbers("vring.num_default", 4, QUEUE_MAX)
        elif name in ("virtio/broken", "virtio/started", "virtio/disabled"):
            out.flag(name.partition("/")[2])
        elif name == "virtio/packed_virtqueues":
            out.bytes("vq", 10 * QUEUE_MAX)
        elif name == "virtio/extra_state":
            _extra_state(out)
        else:
            _unknown_subsection(out)
    return out.body()


def _extra_state(out: Builder) -> None:
    """Read the transport's own body: no fields, one subsection if anything."""
    cursor = out.cursor
    if cursor.peek() != 5 or cursor.remaining < 2:
        return
    at = cursor.pos
    cursor.skip(1)
    name = cursor.counted()
    if name not in ("virtio_pci/modern_state", "virtio_mmio/state"):
        cursor.pos = at
        return
    inner = Builder(cursor, name, cursor.u32())
    if name == "virtio_pci/modern_state":
        inner.u32("dfselect")
        inner.u32("gfselect")
        inner.numbers("guest_features", 4, 2)
        inner.bytes("vqs", 28 * QUEUE_MAX)
    else:
        inner.numbers("guest_features", 4, 2)
        inner.bytes("vqs", 27 * QUEUE_MAX)
    out.subsections.append(inner.body())


def _unknown_subsection(out: Builder) -> None:
    """Read a subsection of a release that we do not know: up to the next one or the end."""
    cursor = out.cursor
    following = _KNOWN.search(cursor.data, cursor.pos, cursor.end)
    end = cursor.end if following is None else following.start()
    out.bytes("data", end - cursor.pos)


def _device_part(out: Builder, kind: str, data: memoryview, *, features: int, queues: int) -> None:
    """Name the fields of the device part; what does not come out even stays bytes."""
    if not data:
        return
    cursor = Cursor(data, base=out.cursor.offset, path=out.cursor.path)
    body = virtio_devices.decode(kind, cursor, features=features, queues=queues)
    out.cursor.skip(len(data))
    if body is not None:
        out.structs("device", (body,))
        return
    out.cursor.pos -= len(data)
    out.bytes("device", len(data))
