"""Registers of configuration spaces (PCI Local Bus 3.0, PCI-to-PCI Bridge 1.2, PCI Express 5.0)."""

from __future__ import annotations

import pytest

from migratable.check.pci import register


def space(header_type: int = 0) -> bytes:
    """Power management at 0x40, then MSI at 0xf8; AER at 0x100."""
    config = bytearray(4096)
    config[0x06], config[0x0E], config[0x34] = 0x10, header_type, 0x40
    config[0x40:0x42] = (0x01, 0xF8)
    config[0xF8:0xFA] = (0x05, 0)
    config[0x100:0x104] = (0x0001_0001).to_bytes(4, "little")
    return bytes(config)


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0x3F, "Max_Lat"),
        (0x40, "id (power management capability at 0x40)"),
        (0x44, "PM control and status (power management capability at 0x40)"),
        (0xFF, "MSI address and data, byte 3 (MSI capability at 0xf8)"),
        (0x100, "id (AER (advanced error reporting) capability at 0x100)"),
        (0x104, "uncorrectable error status (AER (advanced error reporting) capability at 0x100)"),
    ],
)
def test_registers_of_a_device(offset: int, name: str) -> None:
    assert register(space(), offset) == name


@pytest.mark.parametrize(
    ("header_type", "name"),
    [(0x00, "BAR 2"), (0x80, "BAR 2"), (0x01, "Primary Bus Number"), (0x81, "Primary Bus Number")],
)
def test_a_bridge_has_another_header(header_type: int, name: str) -> None:
    """Bit 7 says that the device has several functions."""
    assert register(space(header_type), 0x18) == name


def test_a_space_that_ends_before_its_header_type_is_a_devices() -> None:
    assert register(bytes(14), 0x18) == "BAR 2"
    assert register(bytes(14) + b"\x01", 0x18) == "Primary Bus Number"


def test_a_byte_of_no_register_has_its_offset() -> None:
    assert register(bytes(256), 0x35) == "register 0x35"
    assert register(bytes(256), 0x40) == "register 0x40"
