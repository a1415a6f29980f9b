"""Hooks of storage and ISA VGA that end the program."""

from __future__ import annotations

import pytest

from migratable.check.problem import UnexaminedError
from migratable.profile.tables import Flag, VmField
from migratable.verdict import Severity
from tests.unit.check.bodies import body, entered, lines, loaded, profile
from tests.unit.check.test_flags import Load, vmsd


def test_sd_card_that_waits_for_power() -> None:
    own = body("sd-card", subsections=[body("sd-card/ocr-state")])
    assert not entered(body("sd-card", own=own))


@pytest.mark.parametrize(("release", "line"), [("10.0.13", 381), ("11.1.2", 409)])
def test_sd_card_powered_up_before(release: str, line: int) -> None:
    found = entered(body("sd-card", own=body("sd-card")), release)
    assert [one.refuses for one in found] == [True]
    assert lines(found)[0].startswith(f"hw/sd/sd.c:{line}: sd_ocr_powerup: Assertion")


def _vga(name: str, release: str, latch: int) -> list[tuple[bool, str]]:
    at = profile(release, command_line=("-device", f"isa-{name.replace('_', '-')}"))
    if name == "cirrus_vga":
        at = profile(release, command_line=("-device", "isa-cirrus-vga"))
    found = loaded(body(name, {"latch": latch}), at)
    return [(one.refuses, str(one.severity)) for one in found]


@pytest.mark.parametrize(
    ("name", "release", "latch", "refuses"),
    [
        ("vga", "5.2.0", 8 << 20, False),
        ("vga", "5.2.0", 0xE0000000, True),
        ("vga", "10.0.13", 0xE0000000, True),
        ("cirrus_vga", "7.2.22", 0, True),
        ("cirrus_vga", "10.0.13", 0, False),
    ],
)
def test_isa_vga(name: str, release: str, latch: int, refuses: bool) -> None:
    found = _vga(name, release, latch)
    assert [one[0] for one in found] == [refuses]
    if not refuses:
        assert found[0][1] == str(Severity.ENDANGERS)


def test_pci_vga_is_left_alone() -> None:
    at = profile("5.2.0", command_line=("-device", "VGA"))
    assert not loaded(body("vga", {"latch": 0xE0000000}), at)


@pytest.mark.parametrize("mark", [0, 0x80, 0xFF])
def test_no_request_waits_for_the_disk(mark: int) -> None:
    """hw/scsi/scsi-bus.c: get_scsi_requests ends at the first mark that is not above 0."""
    field = VmField(name="s", info="scsi-requests", size=8, flags=int(Flag.SINGLE))
    assert Load(bytes([mark, 7]), vmsd(field)).left == 1


@pytest.mark.parametrize("mark", [1, 2, 0x7F])
def test_requests_that_wait_are_not_examined(mark: int) -> None:
    field = VmField(name="s", info="scsi-requests", size=8, flags=int(Flag.SINGLE))
    with pytest.raises(UnexaminedError, match="dev: requests that wait"):
        Load(bytes([mark]) + bytes(64), vmsd(field))
