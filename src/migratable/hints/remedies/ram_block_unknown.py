"""A RAM block that the destination lacks: a backend, a ROM, video memory, a device."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from migratable.commandline import CommandLine
from migratable.hints import (
    backends,
    boards,
    devices,
    line_edits,
    machine_options,
    memory,
    pci_placement,
)
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import BlockFacts
from migratable.verdict import Finding


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """By what the block is."""
    if not isinstance(finding.facts, BlockFacts):
        return
    block, size = finding.facts.block, finding.facts.size
    yield from boards.switches(situation, block)
    device = situation.guest.at(block)
    if device is not None:
        if device.path in situation.tree.pci():
            name = block.rpartition("/")[2]
            named = [bus for bus in situation.parts.buses if backends.rom(bus) == name]
            if named or name.endswith(".rom"):
                yield from _named_by_rom(situation, block, named)
                for key in ("romfile", "rombar"):
                    yield from devices.without(situation, block, key)
        yield from pci_placement.arranged(situation, block)
        if device.path in situation.tree.pci():
            yield from devices.dropped(situation, block)
        yield from devices.dropped_globals(situation, block)
        return
    if memory.is_main(block):
        yield Candidate(
            action=f"main memory named {block}: without memory-backend= and memdev=",
            edit=lambda line: memory.with_total(memory.plain(line), situation.stream),
        )
    if block == "vmsvga.fifo" or "vram" in block:
        yield from pci_placement.arranged(situation, block)
    if block.startswith("/rom@etc/") or block in {"pc.bios", "pc.rom"}:
        yield from machine_options.acpi(situation)
    if "/" not in block.removeprefix("/objects/"):
        yield from _backend(situation, block, size)


def _named_by_rom(situation: Situation, block: str, drivers: Sequence[str]) -> Iterator[Candidate]:
    """Variants of a virtio device differ in the name of their ROM, if in nothing else."""
    option, own = devices.option_of(situation, block)
    for driver in drivers if option is not None and own not in drivers else ():
        if option is not None and own.partition("-pci")[0] == driver.partition("-pci")[0]:
            said = f"-device {driver} for {option.fields.get('id') or own}"
            yield line_edits.changed(option, option.fields.set("driver", driver), said)


def _backend(situation: Situation, block: str, size: int) -> Iterator[Candidate]:
    """Main memory of backends of the user's, or a memory module.

    It is main memory when the guest has none by the name that the destination gives its own; the
    destination's would stay beside it otherwise, and the guest would see both.
    """
    if not _ID.fullmatch(block.removeprefix("/objects/")):
        return
    sent = {one.id: one.used_length for one in situation.stream.ram_blocks}
    own = () if situation.profile is None else tuple(situation.profile.ram_blocks)
    used = _main_backends(situation.line)
    mains = [one for one in own if memory.is_main(one) or one.removeprefix("/objects/") in used]
    if any(one not in sent for one in mains) or (memory.is_main(block) and not mains):
        parts = {
            name.removeprefix("/objects/"): length
            for name, length in sent.items()
            if _ID.fullmatch(name.removeprefix("/objects/")) and name not in own
        }
        yield from _main(parts)
        return
    name = block.removeprefix("/objects/")
    text = f"memory-backend-ram,id={name},size={memory.text(size)}"

    kind = "nvdimm" if situation.line.get("machine", "nvdimm") in {"on", "true"} else "pc-dimm"

    def as_module(line: CommandLine) -> CommandLine:
        line = memory.with_slots(line, situation.stream)
        if memory.backend(line, name) is None:
            line = line.append("object", text)
        return line.append("device", f"{kind},memdev={name}")

    yield Candidate(action=f"-object {text} -device {kind},memdev={name}", edit=as_module)


def _main_backends(line: CommandLine) -> set[str]:
    """Backends of which the line makes main memory."""
    named = {line.get("machine", "memory-backend")}
    return {
        one for one in named | {option.fields.get("memdev") for option in line.all("numa")} if one
    }


def _main(parts: Mapping[str, int]) -> Iterator[Candidate]:
    """All of main memory of one backend; of several, a NUMA node for each."""
    total = memory.text(sum(parts.values()))
    objects = {
        name: f"memory-backend-ram,id={name},size={memory.text(size)}"
        for name, size in parts.items()
    }
    nodes = [f"node,nodeid={number},memdev={name}" for number, name in enumerate(parts)]

    def with_objects(line: CommandLine) -> CommandLine:
        line = memory.plain(line)
        for name, text in objects.items():
            if memory.backend(line, name) is None:
                line = line.append("object", text)
        return line_edits.with_member(line, "m", "size", total)

    def as_nodes(line: CommandLine) -> CommandLine:
        line = with_objects(line)
        for node in nodes:
            line = line.append("numa", node)
        return line

    said = " ".join(f"-object {text}" for text in objects.values())
    if len(parts) == 1:
        (name,) = parts
        yield Candidate(
            action=f"{said} -machine memory-backend={name}",
            edit=lambda line: with_objects(line).with_machine("memory-backend", name),
        )
    yield Candidate(action=" ".join([said, *(f"-numa {node}" for node in nodes)]), edit=as_nodes)


_ID = re.compile(r"(?!.*\b(?:vga|vram|rom|bios|flash\d*|fifo)\b)[A-Za-z][A-Za-z0-9._-]*")
"""An id of the user's, not a name that QEMU gives (``vga.vram``, ``system.flash0``)."""
