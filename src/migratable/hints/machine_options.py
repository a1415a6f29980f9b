"""Machine options that add or remove devices."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

from migratable.commandline import CommandLine, Fields
from migratable.errors import StreamError
from migratable.hints import line_edits, memory
from migratable.hints.candidate import Candidate, Situation
from migratable.stream.fields import decode
from migratable.stream.model import Span


def machine(situation: Situation, key: str, value: str) -> Iterator[Candidate]:
    """``-machine KEY=VALUE``, before it without the key when the line sets it."""
    if situation.line.get("machine", key) is not None:
        yield line_edits.machine(key, None)
    yield line_edits.machine(key, value)


def without(situation: Situation, name: str) -> Iterator[Candidate]:
    """The line without an option."""
    if any(True for _ in situation.line.all(name)):
        yield Candidate(action=f"without -{name}", edit=lambda line: drop(line, name))


def drop(line: CommandLine, name: str) -> CommandLine:
    """All options of a name taken out."""
    for option in list(line.all(name)):
        line = line.replace(option)
    return line


def no_default(line: CommandLine, kind: str) -> CommandLine:
    """The line without the display, NIC or USB that QEMU adds by itself."""
    if kind == "usb":
        return drop(line, "usb").with_machine("usb", None)
    if kind == "vga":
        line = drop(line, "vga")
        return line if any(True for _ in line.all("nodefaults")) else line.append("vga", "none")
    for name in ("net", "nic"):
        line = drop(line, name)
    return line if any(True for _ in line.all("nodefaults")) else line.append("nic", "none")


def acpi(situation: Situation) -> Iterator[Candidate]:
    """ACPI on."""
    yield from without(situation, "no-acpi")
    yield from machine(situation, "acpi", "on")


def defaults(situation: Situation) -> Iterator[Candidate]:
    """QEMU's own default devices, or none of them."""
    yield from without(situation, "nodefaults")
    if not any(True for _ in situation.line.all("nodefaults")):
        yield line_edits.appended("nodefaults")


_DEFAULTS = frozenset(
    {"slirp", "parallel_isa", "serial", "fdc", "vmmouse", "spapr_vty", "spapr_vscsi", "spapr_llan"}
)


def own_devices(situation: Situation) -> Iterator[Candidate]:
    """QEMU's own default devices, when the destination lacks several that are not on PCI."""
    if any(True for _ in situation.line.all("nodefaults")):
        missing = {
            (finding.device or "").rpartition("/")[2]
            for finding in situation.verdict.findings
            if finding.rule == "unknown-section"
            and situation.guest.at(finding.device or "") is None
        }
        if len(missing & _DEFAULTS) > 1:
            yield from without(situation, "nodefaults")


def other_cpus(situation: Situation) -> Iterator[Candidate]:
    """As many CPUs as the guest has, when the destination has others: queues depend on it."""
    if situation.profile is None or situation.profile.loader is None:
        return
    here = sum(handler.idstr == "cpu_common" for handler in situation.profile.loader.handlers)
    if here and situation.guest.count("cpu_common") not in {0, here}:
        yield from (
            replace(candidate, sole=True) for candidate in itertools.islice(smp(situation), 1)
        )


def smp(situation: Situation) -> Iterator[Candidate]:
    """As many CPUs as the guest has; where the most there can be shows, as many of those.

    The line's own topology is kept where it has room for them.
    """
    count = (
        situation.guest.count("cpu")
        or situation.guest.count("cpu_common")
        or situation.guest.count("apic")
    )
    if not count and not undelimited(situation):
        return
    options = list(situation.line.all("smp"))
    texts: list[str] = []
    if undelimited(situation):  # not every section can be told
        least = 1 + max(
            (
                finding.instance_id or 0
                for finding in situation.verdict.findings
                if finding.device == "cpu_common"
            ),
            default=count,
        )
        texts += [str(one) for one in (least, 2, 4, 8, 16) if one >= least]
    else:
        texts += _smp_kept(options[-1].fields, count) if options else ()
        texts += _smp_texts(count, limit_of(situation))
    for text in dict.fromkeys(texts):

        def edit(line: CommandLine, text: str = text) -> CommandLine:
            return line_edits.with_option(line, "smp", text)

        yield Candidate(action=f"-smp {text}", edit=edit)
    if options and count == 1:
        yield from without(situation, "smp")


def undelimited(situation: Situation) -> bool:
    """Can the stream's last sections not be told apart (machine types up to 2.3)?"""
    return any(
        isinstance(element, Span) and element.undelimited for element in situation.stream.elements
    )


def _smp_kept(fields: Fields, count: int) -> Iterator[str]:
    """The same with another number of CPUs: other members kept, else more or fewer sockets."""
    given = {key: int(value) for key, value in fields.items() if value.isdigit()}
    given.pop("cpus", None)
    if not given:
        return
    most = given.pop("maxcpus", None)
    inner = math.prod(value for key, value in given.items() if key != "sockets")
    if most is not None and most >= count:
        yield fields.set("cpus", str(count)).text()
    elif most is None and count % inner == 0:
        kept = fields.set("cpus", str(count))
        if "sockets" in given:
            kept = kept.set("sockets", str(count // inner))
        yield kept.text()


def memory_slots(situation: Situation) -> Iterator[Candidate]:
    """As many slots for memory modules as the guest has.

    ACPI's memory hot-plug has a row for each (hw/acpi/memory_hotplug.c: vmstate_memory_hotplug).
    """
    rows = [
        _children(situation, idstr, "devs", within="memhp") for idstr, _ in situation.guest.sections
    ]
    count = max(rows, default=0)
    if count == int(situation.line.get("m", "slots") or "0"):
        return
    if count:
        yield Candidate(
            action=f"-m …,slots={count},maxmem=",
            edit=lambda line: memory.with_slots(line, situation.stream, count),
        )
    else:
        yield Candidate(
            action="-m without slots= and maxmem=",
            edit=lambda line: memory.without_slots(line, situation.stream),
        )


def limit_of(situation: Situation) -> list[int]:
    """Numbers that the most CPUs could be, by tables with an entry for each possible one.

    x86: rows of the CPU hot-plug registers; pseries: event queues of XIVE, eight for each server
    (include/hw/ppc/spapr_irq.h, hw/intc/spapr_xive.c: spapr_xive_instance_init).
    """
    found: list[int] = []
    for idstr in list(situation.guest.names) + [
        f"{device.path}/{name}" for device in situation.guest.pci.values() for name in device.names
    ]:
        name = idstr.rpartition("/")[2]
        if name in {"piix4_pm", "ICH9LPC", "acpi-ged"}:
            found += [_children(situation, idstr, "devs", within="cpuhp")]
        elif name == "spapr-xive":
            found += [_children(situation, idstr, "endt") // 8]
    return [one for one in found if one > 0]


def _children(situation: Situation, idstr: str, name: str, *, within: str = "") -> int:
    section = next((s for (one, _), s in situation.guest.sections.items() if one == idstr), None)
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
    yield from (f"{count},maxcpus={limit}" for limit in limits if limit > count)
    yield str(count)
    for limit in (2, 4, 8, 16, 32):
        if limit > count:
            yield f"{count},maxcpus={limit}"
