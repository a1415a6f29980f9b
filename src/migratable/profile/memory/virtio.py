"""Virtio devices: what each offers and how long its queues are.

``VirtIODevice`` (include/hw/virtio/virtio.h) has no table of its own in the list of handlers, but
the subsections that every virtio stream ends with have, and they name the members next to those
that we need::

    host_features, guest_features, backend_features   8 or 16 bytes each; host or guest first
    size_t config_len; void *config; uint16_t config_vector; uint32_t generation; int nvectors;
    VirtQueue *vq;

``virtio/64bit_features`` gives the offset of guest_features, ``virtio/ringsize`` that of vq and the
size of a ``VirtQueue``, which begins with ``VRing { unsigned num, num_default, … }``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from migratable.profile.memory.process import ProcessMemory
from migratable.profile.memory.tables import TableReader
from migratable.profile.tables import Handler, VirtioLive, Vmsd

_MOST_QUEUES = 1024
#: From vq back to config_len: config_len 8, config 8, config_vector 2 (+2), generation 4,
#: nvectors 4 (+4).
_CONFIG_LEN_BEFORE_VQ = 32
_VECTORS_BEFORE_VQ = 8
#: Distance from guest_features to config_len: (distance to host_features, width of each).
_HOST_BY_DISTANCE: Mapping[int, tuple[int, int]] = {
    24: (8, 8),
    16: (-8, 8),
    48: (16, 16),
    32: (-16, 16),
}
_CLASS_SIZE = 768


def read_virtio(
    memory: ProcessMemory,
    handlers: Sequence[Handler],
    reader: TableReader,
    extra: Mapping[str, int],
) -> tuple[dict[str, VirtioLive], list[str]]:
    """Return every virtio device by the idstr of its section, and notes on what was not found."""
    vmsds = reader.vmsds
    devices = [h for h in handlers if h.vmsd is not None and is_virtio(vmsds[h.vmsd])]
    if not devices:
        return {}, []
    if "virtio/64bit_features" not in extra or "virtio/ringsize" not in extra:
        return {}, ["virtio: features and queue sizes not found in the destination's memory"]
    guest = vmsds[extra["virtio/64bit_features"]].fields[0].offset
    ring = vmsds[extra["virtio/ringsize"]].fields[0]
    place = _HOST_BY_DISTANCE.get(ring.offset - _CONFIG_LEN_BEFORE_VQ - guest)
    if place is None:
        return {}, ["virtio: this build lays out VirtIODevice in a way that is not known yet"]
    live: dict[str, VirtioLive] = {}
    notes: list[str] = []
    for handler in devices:
        features = memory.read(handler.opaque + guest + place[0], place[1])
        config_len = memory.word(handler.opaque + ring.offset - _CONFIG_LEN_BEFORE_VQ)
        vectors = memory.word(handler.opaque + ring.offset - _VECTORS_BEFORE_VQ, 4)
        queues = _queues(memory, memory.word(handler.opaque + ring.offset) or 0, ring.size)
        if features is None or config_len is None or vectors is None:
            notes.append(f"virtio: {handler.idstr} could not be read")
            continue
        live[handler.idstr] = VirtioLive(
            host_features=int.from_bytes(features, sys.byteorder),
            queues=queues,
            config_len=config_len,
            vectors=vectors,
            vmsds=_class_vmsds(memory, handler.opaque, reader),
        )
    return live, notes


def is_virtio(vmsd: Vmsd) -> bool:
    """Whether the description is that of a virtio device: a field of type ``virtio``."""
    return any(field.info == "virtio" for field in vmsd.fields)


def _queues(memory: ProcessMemory, vq: int, size: int) -> tuple[tuple[int, int], ...]:
    queues: list[tuple[int, int]] = []
    for index in range(_MOST_QUEUES):
        pair = memory.unpack("II", vq + index * size) if vq else None
        if pair is None or pair[0] == 0:
            break
        queues.append((pair[0], pair[1]))
    return tuple(queues)


def _class_vmsds(memory: ProcessMemory, opaque: int, reader: TableReader) -> dict[str, int]:
    """Descriptions that the object's class points to.

    ``DeviceClass.vmsd`` and ``VirtioDeviceClass.vmsd`` are members of the class structure; which
    words of it they are differs by release, so each word that points to a description counts.
    """
    klass = memory.word(opaque)
    found: dict[str, int] = {}
    if not klass:
        return found
    for offset in range(0, _CLASS_SIZE, 8):
        pointer = memory.word(klass + offset)
        if not pointer or pointer % 8 or not reader.image.holds(pointer):
            continue
        index = reader.probe(pointer)
        if index is not None:
            found[reader.vmsds[index].name] = index
    return found
