"""hw/display/vga-isa.c, cirrus_vga_isa.c: a section that is written from the wrong object.

Both ISA devices give ``DeviceClass.vmsd`` a description of ``VGACommonState`` (``CirrusVGAState``),
and the loader applies it to the device object around it. Saved is whatever stands there, pointers
included; loading it overwrites the destination's own. Measured on 5.2 to 11.1: such guests load,
die by an assertion (``memory_region_set_alias_offset``, ``vga_update_memory_access``) or by a
signal, between equal releases with equal command lines too. Nothing in the stream tells which.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import post_load
from migratable.check.points import BodyLoaded
from migratable.check.trouble import Problem, UnexaminedError
from migratable.verdict import Severity

#: Measured: 13 of 13 on 10.0 and 11.1 load, 6 of 6 on 5.2 and 7.2 crash.
_CIRRUS_LOADS = (10, 0)
_DEVICES = ("isa-vga", "isa-cirrus-vga")


@post_load("vga", "cirrus_vga", target="x86")
@post_load("vga", "cirrus_vga", target="i386")
def isa_vga(at: BodyLoaded) -> Iterator[Problem]:
    """No claim about what QEMU itself leaves to chance."""
    if at.body.parent is not None or "/" in at.idstr:
        return
    words = at.profile.command_line
    if at.profile.machine != "isapc" and not any(word.startswith(_DEVICES) for word in words):
        return
    if at.body.vmsd.name == "cirrus_vga" and at.release >= _CIRRUS_LOADS:
        yield Problem(
            rule="post-load",
            summary="QEMU saves ISA VGA from the wrong object; loading it damages this one",
            explanation="13 of 13 tries loaded from 10.0 on. A PCI VGA has no such fault.",
            refuses=False,
            severity=Severity.ENDANGERS,
        )
        return
    raise UnexaminedError(
        "QEMU saves ISA VGA from the wrong object, and loading it overwrites pointers of the "
        "destination, which may crash; use a PCI VGA"
    )
