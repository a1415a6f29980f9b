"""s390x's loaders that are no tables."""

from __future__ import annotations

import struct

import pytest

from migratable.check.devices import s390x
from migratable.check.problem import UnexaminedError

MEMORY = 1 << 20
KEYS = struct.pack(">QQ", 2, 4) + b"\0" * 4 + struct.pack(">Q", 1)
CLOCK = b"\x01" + b"\0" * 9


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("s390-skeys", struct.pack(">Q", 1)),
        ("s390-skeys", KEYS),
        ("s390-storage_attributes", struct.pack(">QQ", 8, 1)),
        ("s390-storage_attributes", KEYS),
        ("todclock", CLOCK),
        ("todclock", b"\0"),
    ],
)
def test_taken(name: str, body: bytes) -> None:
    s390x.examine(name, body, MEMORY, footer=True)


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("s390-skeys", KEYS[:-1], "cut short"),
        ("s390-skeys", KEYS + b"\0", "further data"),
        ("s390-skeys", struct.pack(">Q", 4), "mark 0x4"),
        ("s390-skeys", struct.pack(">Q", 8), "mark 0x8"),
        ("s390-skeys", struct.pack(">QQ", MEMORY | 2, 1) + b"\0", "more memory"),
        ("todclock", CLOCK[:-1], "cut short"),
        ("todclock", CLOCK + b"\0", "further data"),
    ],
)
def test_not_examined(name: str, body: bytes, why: str) -> None:
    with pytest.raises(UnexaminedError, match=why):
        s390x.examine(name, body, MEMORY, footer=True)


def test_without_a_footer_the_rest_is_another_section() -> None:
    s390x.examine("todclock", CLOCK + b"\x04", MEMORY, footer=False)
