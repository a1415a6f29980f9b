"""Which PCI device is around a virtio device, among words that look like one."""

from __future__ import annotations

import struct
from typing import cast

from migratable.profile.memory.pci import _virtio_proxy
from migratable.profile.memory.process import ProcessMemory
from migratable.profile.tables import Handler

CONFIG = 0x10
DEVICE, BUSES, PROXIES = 0x1000, (0x2000, 0x4000), (0x3000, 0x5000)


class Words:
    """Memory of known words; everything else is unreadable."""

    def __init__(self) -> None:
        self.bytes: dict[int, int] = {}

    def put(self, at: int, data: bytes) -> None:
        self.bytes.update(enumerate(data, at))

    def read(self, at: int, size: int) -> bytes | None:
        found = [self.bytes.get(one) for one in range(at, at + size)]
        return None if None in found else bytes(one for one in found if one is not None)

    def word(self, at: int, width: int = 8) -> int | None:
        data = self.read(at, width)
        return None if data is None else int.from_bytes(data, "little")

    def unpack(self, fmt: str, at: int) -> tuple[int, ...] | None:
        data = self.read(at, struct.calcsize("<" + fmt))
        return None if data is None else struct.unpack("<" + fmt, data)

    def region(self, at: int) -> object:
        return True


def memory(*starts: bytes) -> ProcessMemory:
    """A device whose first words point to buses of proxies with these configurations, slot 0."""
    words = Words()
    for number, (bus, proxy, start) in enumerate(zip(BUSES, PROXIES, starts, strict=False)):
        words.put(DEVICE + 8 * number, bus.to_bytes(8, "little"))
        words.put(bus + 40, proxy.to_bytes(8, "little"))
        spaces = [0x10000 * (number + 1) + 0x1000 * one for one in range(5)]
        words.put(proxy + CONFIG, struct.pack("<5QI", *spaces, 0))
        words.put(spaces[0], start)
    return cast(ProcessMemory, words)


def proxy(*starts: bytes) -> int | None:
    handler = Handler(
        idstr="pci@800000020000000:00.0/virtio-net",
        instance_id=0,
        alias_id=-1,
        version=11,
        opaque=DEVICE,
        vmsd=0,
    )
    return _virtio_proxy(memory(*starts), handler, CONFIG)


def test_other_structures_at_slot_0_are_passed_over() -> None:
    assert proxy(b"on/off\0\0", b"\xf4\x1a\x00\x10") == PROXIES[1]
    assert proxy(b"\xf4\x1a\x41\x10", b"\xf4\x1a\x00\x10") == PROXIES[0]
    assert proxy(b"on/off\0\0") is None
    assert proxy(b"\xf4") is None
