"""What every PCI device has: hw/pci/pci.c, msix.c, shpc.c."""

from __future__ import annotations

from migratable.check import events
from migratable.check.devices import reads
from migratable.check.loader import Loader, Reading
from migratable.check.problem import Problem, RefusedError, UnexaminedError


@reads("pci config")
def pci_config(reading: Reading) -> None:
    """get_pci_config_device."""
    loader, body, field = reading.loader, reading.body, reading.field
    config = bytes(loader.f.get_buffer(reading.size))
    body.values[field.name] = memoryview(config)
    masks = loader.tables.pci.get(loader.handler.idstr)
    if masks is None:
        loader.unknown(f"{loader.handler.idstr}: its configuration masks are not known")
        return
    loader.ask(
        events.PciConfigRead(
            release=loader.release, idstr=loader.handler.idstr, config=config, masks=masks
        )
    )
    loader.f.compared_under(lambda: masks.compared(len(config)))


@reads("pci irq state")
def pci_irq_state(reading: Reading) -> None:
    """get_pci_irq_state."""
    loader = reading.loader
    for pin in range(4):
        state = loader.f.get_be(4)
        if state not in {0, 1}:
            raise RefusedError(
                Problem(
                    rule="field-validation",
                    summary=f"interrupt pin {pin} has level {state}",
                    words=(("pci-irq-state", {"state": state - (state >> 31 << 32)}),),
                ),
                loader.release,
            )


@reads("msix state")
def msix(reading: Reading) -> None:
    """get_msix_state."""
    loader = reading.loader
    entries = msix_entries(loader)
    if entries is not None:
        loader.f.skip(16 * entries + (entries + 7) // 8)


def msix_entries(loader: Loader) -> int | None:
    """Return the size of the destination device's MSI-X table, None without MSI-X."""
    from migratable.stream.virtio import (  # noqa: PLC0415 -- PCI only
        PCI_CAP_MSIX,
        pci_capabilities,
    )

    masks = loader.tables.pci.get(loader.handler.idstr)
    if masks is None:
        raise UnexaminedError(f"{loader.handler.idstr}: its MSI-X table is not known")
    for capability, at in pci_capabilities(masks.config):
        if capability == PCI_CAP_MSIX:
            return (int.from_bytes(masks.config[at + 2 : at + 4], "little") & 0x7FF) + 1
    return None


@reads("shpc")
def shpc(reading: Reading) -> None:
    """shpc_load."""
    # hw/pci/shpc.h: SHPC_SIZEOF = 0x24 + 4 * slots; a bridge has 31 (SHPC_MAX_SLOTS), and the
    # buffer is rounded up to a power of two for its BAR only.
    size = reading.loader.local_size(reading.body, reading.field)
    reading.loader.f.skip(0x24 + 4 * 31 if size is None else size)
