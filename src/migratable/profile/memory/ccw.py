"""The channel device around a virtio device (hw/s390x/virtio-ccw.c), which has no section.

A virtio device's bus (``DeviceState.parent_bus``) belongs to a ``VirtioCcwDevice``, whose
description ``s390_virtio_ccw_dev`` is loaded at the head of the device's blob.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from migratable.profile.memory.pci import BUS_PARENT, DEVICE_STATE_SIZE
from migratable.profile.memory.process import ProcessMemory
from migratable.profile.memory.tables import TableReader, struct_offset
from migratable.profile.tables import Handler, VirtioLive, Vmsd

CHANNEL = "s390_virtio_ccw_dev"
#: cssid, ssid and devno, as ``virtual_css_bus_get_dev_path`` writes them.
_PATH = re.compile(r"/?([0-9a-f]{1,2})\.([0-9a-f])\.([0-9a-f]{4})/")


def channel_devices(
    memory: ProcessMemory,
    handlers: Sequence[Handler],
    reader: TableReader,
    extra: Mapping[str, int],
    virtio: Mapping[str, VirtioLive],
) -> dict[str, VirtioLive]:
    """Give each virtio device on a channel the address of its channel device."""
    found = dict(virtio)
    index = extra.get(CHANNEL)
    place = None if index is None else _subchannel(reader.vmsds, index)
    if place is None:
        return found
    for handler in handlers:
        live = found.get(handler.idstr)
        path = _PATH.match(handler.idstr)
        if live is None or path is None:
            continue
        for offset in range(0, DEVICE_STATE_SIZE, 8):
            bus = memory.word(handler.opaque + offset)
            proxy = memory.word(bus + BUS_PARENT) if bus else None
            subchannel = memory.word(proxy + place[0]) if proxy else None
            if (
                proxy
                and subchannel
                and memory.word(subchannel + place[1], 1) == int(path[1], 16)
                and memory.word(subchannel + place[2], 2) == int(path[3], 16)
            ):
                found[handler.idstr] = replace(live, ccw=proxy)
                break
    return found


def _subchannel(vmsds: Sequence[Vmsd], index: int) -> tuple[int, int, int] | None:
    """Offset of the pointer to the subchannel, and in that of cssid and devno."""
    base = struct_offset(list(vmsds), index, "s390_ccw_dev")
    device = next((item.vmsd for item in vmsds[index].fields if item.name == "parent_obj"), None)
    if base is None or device is None:
        return None
    pointer = next((item for item in vmsds[device].fields if item.name == "sch"), None)
    if pointer is None or pointer.vmsd is None:
        return None
    offsets = {item.name: item.offset for item in vmsds[pointer.vmsd].fields}
    if not {"cssid", "devno"} <= offsets.keys():
        return None
    return base + pointer.offset, offsets["cssid"], offsets["devno"]
