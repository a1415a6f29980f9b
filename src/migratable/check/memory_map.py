"""Where a PC's memory is: below 4 GiB, and from there on, as its CMOS tells the firmware.

``-m`` and the RAM block ``pc.ram`` say how much there is; where it is split follows from the
machine type and ``max-ram-below-4g``. The loader does not compare it, but ``hw/i386/pc.c:
pc_cmos_init`` writes both parts into the clock chip's memory, which every stream has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from migratable.profile.model import Profile
from migratable.stream.layout import SectionKind
from migratable.stream.model import Section

CLOCK = "mc146818rtc"
_BELOW, _ABOVE = slice(0x34, 0x36), slice(0x5B, 0x5E)
_UNIT, _BASE = 64 << 10, 16 << 20
FOUR_GIB = 4 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class PcMemory:
    """A PC's memory.

    :ivar below: bytes from address 0 on; 0 when the machine has less than 16 MiB.
    :ivar above: bytes from 4 GiB on.
    """

    below: int
    above: int

    def lacks(self, address: int) -> bool:
        """Whether an address below 4 GiB is behind the memory (devices may still be there)."""
        return bool(self.below) and self.below <= address < FOUR_GIB


def pc_memory(sections: Iterable[Section]) -> PcMemory | None:
    """Read it from a stream's clock chip; None when there is none."""
    section = next((one for one in sections if one.idstr == CLOCK), None)
    return None if section is None else _pc_memory(bytes(section.body[:128]))


def _pc_memory(cmos: bytes) -> PcMemory | None:
    if len(cmos) < 128:
        return None
    below = int.from_bytes(cmos[_BELOW], "little") * _UNIT
    return PcMemory(
        below=below + _BASE if below else 0, above=int.from_bytes(cmos[_ABOVE], "little") * _UNIT
    )


def of_profile(profile: Profile) -> PcMemory | None:
    """The destination's, found in its own stream, which has no RAM contents to mislead."""
    if profile.target not in {"x86_64", "i386"}:
        return None
    name = CLOCK.encode()
    at = profile.stream.find(bytes((len(name),)) + name)
    if at < 5 or profile.stream[at - 5] != int(SectionKind.FULL):
        return None
    body = at + 1 + len(name) + 8  # behind the instance and the version
    return _pc_memory(profile.stream[body : body + 128])
