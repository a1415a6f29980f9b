"""Sizes: ``-m`` and memory backends, video memory, option ROMs, firmware."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import devices, memory, pci_placement
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import BlockFacts
from migratable.verdict import Finding

_MIB = 1 << 20
_FIRMWARE = ("qboot.rom", "bios-microvm.bin", "bios.bin", "bios-256k.bin")
"""QEMU's own for PCs (``pc-bios/``), 64, 128 and 256 KiB: which a machine takes has changed
(``hw/i386/microvm.c: microvm_memory_init``), and its contents come with the guest."""


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """By what the block is."""
    if not isinstance(finding.facts, BlockFacts):
        return
    block, size = finding.facts.block, finding.facts.size
    name = block.rpartition("/")[2]
    if memory.backend(situation.line, name) is not None:
        yield Candidate(
            action=f"-object …,id={name},size={memory.text(size)}",
            edit=lambda line: memory.with_total(
                memory.with_backend_size(line, name, size), situation.stream
            ),
        )
    if memory.is_main(name):
        yield Candidate(
            action=f"-m {memory.text(memory.main_size(situation.line, situation.stream))}",
            edit=lambda line: memory.with_total(line, situation.stream),
        )
    elif name.endswith(("vram", "vgamem", "vram_ram", "vga.ram")):
        yield from _video(situation, block, size)
    elif name.endswith(".rom"):
        yield from _rom(situation, block, size)
    elif name in {"pc.bios", "pc.rom"} or name.startswith("system.flash"):
        if name == "pc.bios" and not any(True for _ in situation.line.all("bios")):
            yield from map(_firmware, _FIRMWARE)
        yield Candidate(
            action=f"firmware (-bios, -drive if=pflash, -machine pflash0=) of {size} bytes, as the "
            "source has: the same build of the same file"
        )


def _firmware(name: str) -> Candidate:
    return Candidate(action=f"-bios {name}", edit=lambda line: line.append("bios", name))


def _video(situation: Situation, block: str, size: int) -> Iterator[Candidate]:
    yield from pci_placement.displays(situation)
    yield from devices.with_property(situation, block, "vgamem_mb", str(size // _MIB))
    yield from devices.with_property(situation, block, "vgamem", memory.text(size))
    yield from devices.with_property(situation, block, "vram_size_mb", str(size // _MIB))
    for name in ("vgamem_mb", "vgamem", "vram_size_mb"):
        yield from devices.without(situation, block, name)


def _rom(situation: Situation, block: str, size: int) -> Iterator[Candidate]:
    yield from devices.without(situation, block, "romsize")
    yield from devices.without(situation, block, "romfile")
    yield from devices.with_property(situation, block, "romsize", str(size))
    yield Candidate(action=f"the source's ROM file for {block} ({size} bytes) as romfile=")
