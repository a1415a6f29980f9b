"""A RAM block that the destination lacks: a backend, a ROM, video memory, a device."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.profile.commandline import CommandLine
from migratable.rehearse.hints import devices, knobs, memory, places
from migratable.rehearse.hints.candidate import Candidate, Situation
from migratable.verdict import Finding


def candidates(at: Situation, finding: Finding) -> Iterator[Candidate]:
    """By what the block is."""
    block, size = str(finding.facts.get("block", "")), int(finding.facts.get("size", 0))
    device = at.guest.at(block)
    if device is not None:
        if device.path in at.tree.pci():
            name = block.rpartition("/")[2]
            if name.endswith(".rom"):
                for key in ("romfile", "rombar"):
                    yield from devices.without(at, block, key)
        yield from places.moves(at)
        yield from devices.dropped_globals(at, block)
        return
    if memory.is_main(block):
        yield Candidate(
            action=f"main memory named {block}: without memory-backend= and memdev=",
            edit=lambda line: memory.with_total(memory.plain(line), at.stream),
        )
    if block == "vmsvga.fifo":
        yield from places.moves(at)
    if block.startswith("/rom@etc/") or block in {"pc.bios", "pc.rom"}:
        yield from knobs.acpi(at)
    if "/" not in block.removeprefix("/objects/"):
        yield from _backend(at, block, size)


def _backend(at: Situation, block: str, size: int) -> Iterator[Candidate]:
    """Main memory, or a memory module, of a backend with that id."""
    name = block.removeprefix("/objects/")
    text = f"memory-backend-ram,id={name},size={memory.text(size)}"
    main = [one for one in at.stream.ram_blocks if memory.is_main(one.id)]
    if not main:

        def as_main(line: CommandLine) -> CommandLine:
            line = memory.plain(line).append("object", text)
            line = line.with_machine("memory-backend", name)
            return memory.with_total(line, at.stream)

        yield Candidate(action=f"-object {text} -machine memory-backend={name}", edit=as_main)

    def as_module(line: CommandLine) -> CommandLine:
        line = memory.with_slots(line, at.stream)
        if memory.backend(line, name) is None:
            line = line.append("object", text)
        return line.append("device", f"pc-dimm,memdev={name}")

    yield Candidate(action=f"-object {text} -device pc-dimm,memdev={name}", edit=as_module)
