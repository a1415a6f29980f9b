"""``releases.py``: versions and machine types as QEMU and distributions write them."""

from __future__ import annotations

import pytest

from migratable.releases import MachineType


@pytest.mark.parametrize(
    ("name", "family", "version"),
    [
        ("pc-q35-10.0", "pc-q35", (10, 0)),
        ("pseries-2.12-sxxm", "pseries", (2, 12)),
        ("pc-q35-rhel9.4.0", "pc-q35-rhel", None),
        ("pc-q35-rhel9.6.0", "pc-q35-rhel", None),
        ("pc-i440fx-jammy", "pc-i440fx-jammy", None),
        ("microvm", "microvm", None),
        ("", "", None),
    ],
)
def test_a_machine_types_family(name: str, family: str, version: tuple[int, int] | None) -> None:
    parsed = MachineType.parse(name)
    assert (parsed.name, parsed.family, parsed.version) == (name, family, version)
