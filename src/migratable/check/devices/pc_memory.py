"""The addresses of a PC's memory below and above 4 GiB, from the CMOS.

``-m`` and the RAM block ``pc.ram`` say how much there is; where it is split follows from the
machine type and ``max-ram-below-4g``. The loader does not compare it, but ``hw/i386/pc.c:
pc_cmos_init`` writes both parts into the clock chip's memory, which every stream has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from migratable.errors import StreamError
from migratable.facts.targets import X86
from migratable.profile.model import Profile
from migratable.stream.cursor import Buffer
from migratable.stream.model import Section

CLOCK = "mc146818rtc"
_BELOW, _ABOVE = (0x34, 0x36), (0x5B, 0x5E)
_UNIT, _BASE = 64 << 10, 16 << 20
#: Kind (FULL), section id, name, instance and version.
_HEADER = re.compile(rb"\x04.{4}\x0bmc146818rtc.{8}", re.DOTALL)
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
    section = next((section for section in sections if section.idstr == CLOCK), None)
    return None if section is None else _pc_memory(section.body)


def _pc_memory(data: Buffer, at: int = 0) -> PcMemory | None:
    """What the 128 bytes from *at* on say."""
    if len(data) < at + 128:
        return None
    below, above = (
        int.from_bytes(data[at + first : at + end], "little") * _UNIT
        for first, end in (_BELOW, _ABOVE)
    )
    return PcMemory(below=below + _BASE if below else 0, above=above)


def of_profile(profile: Profile) -> PcMemory | None:
    """The destination's, found in its own stream, which has no RAM contents to mislead."""
    if profile.target not in X86:
        return None
    header = _HEADER.search(profile.stream)
    return None if header is None else _pc_memory(profile.stream, header.end())


def rings_agree(section: Section, there: PcMemory | None, here: PcMemory | None) -> bool:
    """Whether ``virtio_load`` (up to 6.x) is sure to take a device's rings in the memory of here.

    A ring in the part that both sides have from address 0 on is in the same place of the block.
    Where no memory is, the used ring's index reads 0: what is in use is then all that was ever
    made available, and must not be more than the ring holds. A device that no driver has set up
    has no ring.
    """
    from migratable.stream.virtio import parse  # noqa: PLC0415 -- seldom needed

    try:
        queues = parse(section.body, idstr=section.idstr).queues
    except StreamError:
        return False
    used = [queue for queue in queues if queue.desc]
    if there is None or here is None:
        return not used
    common = min(there.below, here.below)
    for ring in used:
        end = ring.used_address + 8 * ring.num + 6
        absent = here.lacks(ring.used_address) and end <= FOUR_GIB
        if end > common and not (absent and ring.last_avail_idx <= ring.num):
            return False
    return True
