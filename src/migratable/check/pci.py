"""The register that holds a byte of a device's own PCI configuration space."""

from __future__ import annotations

from migratable.facts import pci
from migratable.stream.virtio import pci_capabilities


def place(config: bytes, offset: int) -> pci.Place | None:
    """The register of *offset*, None for a byte of no register.

    :param config: the space in which the capabilities are looked up, 256 or 4096 bytes.
    """
    if offset < 0x40:
        bridge = len(config) > 0x0E and config[0x0E] & 0x7F != 0
        return pci.in_header(offset, bridge=bridge)
    if offset >= pci.EXTENDED_FROM:
        return pci.in_capability(offset, list(pci.extended_capabilities(config)))
    return pci.in_capability(offset, list(pci_capabilities(config)))


def register(config: bytes, offset: int) -> str:
    """Name the register that holds byte *offset* of a configuration space."""
    register = place(config, offset)
    return str(register) if register is not None else f"register {offset:#x}"
