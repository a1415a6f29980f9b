"""hw/display/vga-isa.c, cirrus_vga_isa.c: a section that is written from the wrong object.

Both ISA devices give ``DeviceClass.vmsd`` a description of ``VGACommonState`` (``CirrusVGAState``),
and the loader applies it to the device object around it, so that what is saved and overwritten is
whatever stands a few words further on: up to 10.x for ``isa-vga`` (11.1 has another section), up
to 11.1 for ``isa-cirrus-vga``. Measured with equal command lines between 5.2, 7.2, 10.0 and 11.1,
each pair twice, and always the same:

* cirrus: 5.2 and 7.2 abort on any stream, their own too; 10.0 and 11.1 load any.
* isa-vga: ``latch`` takes the place of the size of video memory. 5.2 and 7.2 write 8 MiB there,
  with which every release goes on; 10.0 writes the address 0xe0000000, and every release crashes.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem, UnexaminedError
from migratable.verdict import Severity

#: The bank that is shown at 0xa0000, at most.
_BANK = 0x10000
_DEVICES = ("isa-vga", "isa-cirrus-vga")
_CIRRUS_LOADS = (10, 0)
#: hw/display/vga.c: vga_common_init takes at most 512 MiB.
_MOST_MEMORY = 512 << 20
_ALIAS = {(5, 2): ("../../softmmu/memory.c", 2522), (7, 2): ("../../softmmu/memory.c", 2705)}
_MEMORY = {(5, 2): ("../../hw/display/vga.c", 193)}


def _is_isa(event: BodyLoaded) -> bool:
    if event.body.parent is not None or "/" in event.idstr:
        return False
    words = event.profile.command_line
    return event.profile.machine == "isapc" or any(word.startswith(_DEVICES) for word in words)


def _dies(
    event: BodyLoaded, message: str, places: dict[tuple[int, int], tuple[str, int]]
) -> Problem:
    """The program ends; where it was measured with the line that it prints, else without one."""
    place = places.get(event.release)
    return Problem(
        rule="post-load",
        summary="the destination's program crashes when it loads an ISA VGA",
        explanation="QEMU saves ISA VGA from the wrong object. Use a PCI VGA.",
        words=((message, {"file": place[0], "line": place[1]}),) if place else (),
        aborts=True,
    )


def _damaged() -> Problem:
    return Problem(
        rule="post-load",
        refuses=False,
        severity=Severity.ENDANGERS,
        summary="QEMU saves ISA VGA from the wrong object; loading it damages this one",
        explanation="Such guests load and keep running. A PCI VGA has no such fault.",
    )


@post_load("vga")
def bank(event: BodyLoaded) -> Iterator[Problem]:
    """vga_common_post_load: vga_update_memory_access asserts that the bank is in video memory.

    :raise UnexaminedError: for one that is not; whether it is looked at depends on the mode.
    """
    _inside(event, (event.body.number("bank_offset") or 0) + _BANK)
    yield from ()


@post_load("qxl")
def last_release(event: BodyLoaded) -> Iterator[Problem]:
    """qxl_post_load asserts that what was released last is in video memory.

    :raise UnexaminedError: for what is not.
    """
    _inside(event, (event.body.number("last_release_offset") or 0) + 1)
    yield from ()


def _inside(event: BodyLoaded, end: int) -> None:
    path = event.idstr.rpartition("/")[0]
    for name in ("vga.vram", "qxl.vgavram"):
        block = event.profile.ram_blocks.get(f"{path}/{name}" if path else name)
        if block is not None and end > block[0]:
            raise UnexaminedError(f"video memory up to {end:#x}, of {block[0]:#x} bytes")


@post_load("cirrus_vga", target="x86")
@post_load("cirrus_vga", target="i386")
def isa_cirrus(event: BodyLoaded) -> Iterator[Problem]:
    """cirrus_post_load works on the wrong object: map_linear_vram_bank."""
    if _is_isa(event):
        loads = event.release >= _CIRRUS_LOADS
        yield _damaged() if loads else _dies(event, "vga-alias-assertion", _ALIAS)


@post_load("vga", target="x86")
@post_load("vga", target="i386")
def isa_vga(event: BodyLoaded) -> Iterator[Problem]:
    """vga_common_post_load works on the wrong object: vga_update_memory_access."""
    if _is_isa(event) and event.release < (11, 0):
        memory = event.body.number("latch") or 0
        dies = memory > _MOST_MEMORY
        yield _dies(event, "vga-memory-assertion", _MEMORY) if dies else _damaged()
