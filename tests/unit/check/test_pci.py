"""Registers of configuration spaces (PCI Local Bus 3.0, PCI-to-PCI Bridge 1.2, PCI Express 5.0)."""

from __future__ import annotations

import pytest

from migratable.check.events import PciConfigRead
from migratable.check.pci import register
from migratable.check.problem import Problem
from migratable.check.rules import pci_config
from migratable.profile.tables import PciMasks


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


# rules/pci_config: hw/pci/pci.c: get_pci_config_device


def refused(sent: bytes, local: bytes, *, cmask: bytes | None = None) -> list[Problem]:
    masks = PciMasks(
        config=local,
        cmask=cmask if cmask is not None else b"\xff" * len(local),
        wmask=bytes(len(local)),
        w1cmask=bytes(len(local)),
    )
    event = PciConfigRead(release=(10, 0), idstr="0000:00:01.0/e1000", config=sent, masks=masks)
    return list(pci_config.check(event))


def changed(config: bytes, *places: int) -> bytes:
    made = bytearray(config)
    for place in places:
        made[place] ^= 0x10
    return bytes(made)


def test_the_first_byte_that_differs_is_told() -> None:
    local = bytes(256)
    assert refused(local, local) == refused(changed(local, 2), local, cmask=bytes(256)) == []
    (problem,) = refused(changed(local, 2, 8, 0x40), local)
    assert problem.summary == (
        "Device ID of '0000:00:01.0/e1000' is 0x10 in the stream and 0x0 on the destination "
        "(byte 0x2)"
    )
    assert problem.explanation.startswith("Differs in: Device ID, Revision ID, register 0x40.")
    words = {"offset": 2, "read": 0x10, "local": 0, "cmask": 0xFF, "wmask": 0, "w1cmask": 0}
    assert problem.words == (("pci-config", words),)


def test_eight_registers_are_named() -> None:
    (problem,) = refused(changed(bytes(256), *range(0x40, 0x4A)), bytes(256))
    names = ", ".join(f"register {place:#x}" for place in range(0x40, 0x48))
    assert problem.explanation.strip() == f"Differs in: {names}."


def test_what_a_register_means_is_said() -> None:
    """Bits 1 to 3 of MSI's control: how many vectors, as a power of two."""
    local = space()
    sent = bytearray(local)
    sent[0xFA], sent[0x80] = 0b0100, 1  # 0x80 is of no register that is known
    (problem,) = refused(bytes(sent), local)
    assert problem.explanation == (
        "Differs in: power management capability at 0x40, byte 0x40, MSI control (MSI capability "
        "at 0xf8). MSI vectors: source 4, destination 1."
    )


def test_only_what_both_have_is_compared() -> None:
    assert refused(bytes(256), bytes(255) + b"\x10", cmask=b"\xff" * 256) != []
    assert refused(bytes(255), bytes(255) + b"\x10", cmask=b"\xff" * 256) == []
