"""Configuration space masks of PCI devices (hw/pci/pci.c: get_pci_config_device).

``PCIDevice`` has ``config, cmask, wmask, w1cmask, used`` as five pointers in a row, followed by
``int32_t devfn`` (include/hw/pci/pci_device.h, 4.1 to 10.2). The table ``PCIDevice`` tells where
the first of them is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from migratable.profile.memory.process import ProcessMemory
from migratable.profile.memory.tables import TableReader, struct_offset
from migratable.profile.memory.virtio import is_virtio
from migratable.profile.tables import Handler, PciMasks

CONFIG_SIZE = 256
EXPRESS_CONFIG_SIZE = 4096
_PCIE_CAPABILITY = 0x10
#: PCI_VENDOR_ID_REDHAT_QUMRANET, which a guest cannot change (hw/virtio/virtio-pci.c).
_VENDOR = b"\xf4\x1a"
_CAPABILITY_LIST = 0x34
#: ``BusState { Object parent_obj (40 bytes); DeviceState *parent; …}``, include/hw/qdev-core.h.
BUS_PARENT = 40
#: ``DeviceState.parent_bus`` is somewhere in the first words of a device.
DEVICE_STATE_SIZE = 256
#: QEMU_PCI_CAP_EXPRESS: the device has, and migrates, 4096 bytes (hw/pci/pci.c: pci_config_size).
_CAP_EXPRESS = 0x4
_SLOT = re.compile(r"[:@]?([0-9a-f]{2})\.([0-7])/")


def read_pci_masks(
    memory: ProcessMemory,
    handlers: Sequence[Handler],
    reader: TableReader,
    extra: Mapping[str, int],
) -> tuple[dict[str, PciMasks], list[str]]:
    """Return the masks of every PCI device by the idstr of its section, and notes."""
    if "PCIDevice" not in extra:
        return {}, ["PCI: the configuration masks were not found in the destination's memory"]
    vmsds = reader.vmsds
    known = {field.name: field.offset for field in vmsds[extra["PCIDevice"]].fields}
    if not known.keys() >= {"config", "irq_state"}:
        return {}, ["PCI: this build lays out PCIDevice in a way that is not known yet"]
    config = known["config"]
    # include/hw/pci/pci_device.h: `uint8_t irq_state; uint32_t cap_present;` from 4.1 to 10.2.
    capabilities = (known["irq_state"] + 4) & ~3
    masks: dict[str, PciMasks] = {}
    notes: list[str] = []
    for handler in handlers:
        if handler.vmsd is None:
            continue
        if is_virtio(vmsds[handler.vmsd]):
            device = _virtio_proxy(memory, handler, config)
            wanted = _SLOT.search(handler.idstr) is not None
        else:
            offset = struct_offset(vmsds, handler.vmsd, "PCIDevice")
            device = None if offset is None else handler.opaque + offset
            wanted = device is not None
        found = None if device is None else _masks(memory, device + config, device + capabilities)
        if found is not None:
            masks[handler.idstr] = found
        elif wanted:
            notes.append(f"PCI: the configuration masks of {handler.idstr} were not found")
    return masks, notes


def _virtio_proxy(memory: ProcessMemory, handler: Handler, config: int) -> int | None:
    """Find the PCI device around a virtio device: its bus's parent, at the slot of its idstr."""
    slot = _SLOT.search(handler.idstr)
    if slot is None:
        return None
    devfn = int(slot[1], 16) << 3 | int(slot[2])
    for offset in range(0, DEVICE_STATE_SIZE, 8):
        bus = memory.word(handler.opaque + offset)
        proxy = memory.word(bus + BUS_PARENT) if bus else None
        if proxy and _devfn(memory, proxy + config) == devfn and _is_ours(memory, proxy + config):
            return proxy
    return None


def _is_ours(memory: ProcessMemory, at: int) -> bool:
    """Whether the configuration begins with virtio's vendor: other words may look like a slot 0."""
    place = memory.word(at)
    return place is not None and memory.read(place, len(_VENDOR)) == _VENDOR


def _pointers(memory: ProcessMemory, at: int) -> tuple[int, ...] | None:
    pointers = memory.unpack("QQQQQ", at)
    if pointers is None or not all(map(memory.region, pointers)) or len(set(pointers)) != 5:
        return None
    return pointers


def _devfn(memory: ProcessMemory, at: int) -> int | None:
    return None if _pointers(memory, at) is None else memory.word(at + 40, 4)


def _masks(memory: ProcessMemory, at: int, capabilities: int) -> PciMasks | None:
    pointers = _pointers(memory, at)
    if pointers is None:
        return None
    config = memory.read(pointers[0], CONFIG_SIZE)
    if config is None:
        return None
    present = memory.word(capabilities, 4) if capabilities else None
    express = _is_express(config) if present is None else bool(present & _CAP_EXPRESS)
    size = EXPRESS_CONFIG_SIZE if express else CONFIG_SIZE
    parts = [memory.read(pointer, size) for pointer in pointers[:4]]
    if any(part is None for part in parts):
        return None
    whole = [part for part in parts if part is not None]
    return PciMasks(config=whole[0], cmask=whole[1], wmask=whole[2], w1cmask=whole[3])


def _is_express(config: bytes) -> bool:
    """Whether a PCI Express capability is in the list."""
    at = config[_CAPABILITY_LIST] & 0xFC
    for _ in range(64):
        if at < 0x40:
            return False
        if config[at] == _PCIE_CAPABILITY:
            return True
        at = config[at + 1] & 0xFC
    return False
