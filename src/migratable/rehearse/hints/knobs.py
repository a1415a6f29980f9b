"""Switches of the machine by which devices come and go."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.errors import StreamError
from migratable.profile.commandline import CommandLine
from migratable.rehearse.hints import edits
from migratable.rehearse.hints.candidate import Candidate, Situation
from migratable.stream.fields import decode


def machine(at: Situation, key: str, value: str) -> Iterator[Candidate]:
    """``-machine KEY=VALUE``, before it without the key when the line sets it."""
    if at.line.get("machine", key) is not None:
        yield edits.machine(key, None)
    yield edits.machine(key, value)


def without(at: Situation, name: str) -> Iterator[Candidate]:
    """The line without an option."""
    if any(True for _ in at.line.all(name)):
        yield Candidate(action=f"without -{name}", edit=lambda line: drop(line, name))


def drop(line: CommandLine, name: str) -> CommandLine:
    """All options of a name taken out."""
    for option in list(line.all(name)):
        line = line.replace(option)
    return line


def no_default(line: CommandLine, kind: str) -> CommandLine:
    """The line without the display or NIC that QEMU adds by itself."""
    if kind == "vga":
        line = drop(line, "vga")
        return line if any(True for _ in line.all("nodefaults")) else line.append("vga", "none")
    for name in ("net", "nic"):
        line = drop(line, name)
    return line if any(True for _ in line.all("nodefaults")) else line.append("nic", "none")


def acpi(at: Situation) -> Iterator[Candidate]:
    """ACPI on."""
    yield from without(at, "no-acpi")
    yield from machine(at, "acpi", "on")


def defaults(at: Situation) -> Iterator[Candidate]:
    """QEMU's own default devices, or none of them."""
    yield from without(at, "nodefaults")
    if not any(True for _ in at.line.all("nodefaults")):
        yield edits.appended("nodefaults")


def smp(at: Situation) -> Iterator[Candidate]:
    """As many CPUs as the guest has; where the most there can be shows, as many of those."""
    count = at.guest.count("cpu") or at.guest.count("cpu_common") or at.guest.count("apic")
    if not count:
        return
    options = list(at.line.all("smp"))
    limit = limit_of(at)
    for text in dict.fromkeys(_smp_texts(count, limit)):

        def edit(line: CommandLine, text: str = text) -> CommandLine:
            return drop(line, "smp").append("smp", text)

        yield Candidate(action=f"-smp {text}", edit=edit)
    if options and count == 1:
        yield from without(at, "smp")


def limit_of(at: Situation) -> list[int]:
    """Numbers that the most CPUs could be, by tables with an entry for each possible one.

    x86: rows of the CPU hot-plug registers; pseries: event queues of XIVE, eight for each server
    (include/hw/ppc/spapr_irq.h, hw/intc/spapr_xive.c: spapr_xive_instance_init).
    """
    found: list[int] = []
    for idstr in list(at.guest.names) + [
        f"{one.path}/{name}" for one in at.guest.pci.values() for name in one.names
    ]:
        name = idstr.rpartition("/")[2]
        if name in {"piix4_pm", "ICH9LPC", "acpi-ged"}:
            found += [_children(at, idstr, "devs", within="cpuhp")]
        elif name == "spapr-xive":
            found += [_children(at, idstr, "endt") // 8]
    return [one for one in found if one > 0]


def _children(at: Situation, idstr: str, name: str, *, within: str = "") -> int:
    section = next((s for (one, _), s in at.guest.sections.items() if one == idstr), None)
    if section is None:
        return 0
    try:
        body = decode(section)
    except StreamError:
        return 0
    return sum(
        max(1, len(item.children))
        for path, item in body.walk()
        if item.name.partition("[")[0] == name and within in "/".join(path)
    )


def _smp_texts(count: int, limits: list[int]) -> Iterator[str]:
    yield from (f"{count},maxcpus={limit}" for limit in limits if limit >= count)
    yield str(count)
    for limit in (2, 4, 8, 16, 32):
        if limit > count:
            yield f"{count},maxcpus={limit}"
