"""Names of the registers in a PCI configuration space (PCI Local Bus 3.0, PCI Express 5.0)."""

from __future__ import annotations

from migratable.stream.virtio import pci_capabilities

_HEADER = (
    (0x00, 2, "vendor number"),
    (0x02, 2, "device number"),
    (0x04, 2, "command"),
    (0x06, 2, "status"),
    (0x08, 1, "revision"),
    (0x09, 3, "class"),
    (0x0C, 1, "cache line size"),
    (0x0D, 1, "latency timer"),
    (0x0E, 1, "header type"),
    (0x0F, 1, "self test"),
    (0x2C, 2, "subsystem vendor number"),
    (0x2E, 2, "subsystem number"),
    (0x30, 4, "expansion ROM address"),
    (0x34, 1, "capabilities pointer"),
    (0x3C, 1, "interrupt line"),
    (0x3D, 1, "interrupt pin"),
)
_CAPABILITIES = {
    0x01: "power management",
    0x04: "slot identification",
    0x05: "MSI",
    0x09: "vendor-specific",
    0x0C: "hotplug (SHPC)",
    0x0D: "bridge subsystem",
    0x10: "PCI Express",
    0x11: "MSI-X",
    0x12: "SATA",
    0x13: "advanced features",
}
_EXTENDED = {
    0x01: "advanced error reporting",
    0x03: "serial number",
    0x0B: "vendor-specific (extended)",
    0x0D: "access control services",
    0x0E: "alternative routing",
    0x0F: "address translation services",
    0x10: "SR-IOV",
    0x13: "page request",
    0x1B: "process address space",
}


def register(config: bytes, offset: int) -> str:
    """Name the register that holds byte *offset* of a configuration space.

    :param config: the space in which the capabilities are looked up, 256 or 4096 bytes.
    """
    if 0x10 <= offset < 0x28 and (len(config) < 0x10 or config[0x0E] & 0x7F == 0):
        return f"BAR {(offset - 0x10) // 4}"
    for start, size, name in _HEADER:
        if start <= offset < start + size:
            return name
    if offset >= 0x100:
        return _extended(config, offset)
    found = [(at, kind) for kind, at in pci_capabilities(config) if at <= offset]
    if found:
        at, kind = max(found)
        return f"{_CAPABILITIES.get(kind, f'capability {kind:#x}')} capability +{offset - at:#x}"
    return f"register {offset:#x}"


def _extended(config: bytes, offset: int) -> str:
    at, best = 0x100, (0, 0)
    for _ in range(64):
        if not 0x100 <= at <= len(config) - 4:
            break
        head = int.from_bytes(config[at : at + 4], "little")
        if at <= offset and at > best[0]:
            best = (at, head & 0xFFFF)
        following = head >> 20
        if following <= at and following != 0:
            break
        if following == 0:
            break
        at = following
    if best[0]:
        name = _EXTENDED.get(best[1], f"extended capability {best[1]:#x}")
        return f"{name} capability +{offset - best[0]:#x}"
    return f"register {offset:#x}"
