"""The answers that a machine under TCG would give under KVM."""

from __future__ import annotations

from typing import Any

from migratable.commandline import CommandLine
from migratable.commandline.kvm import Outlook, outlook
from migratable.errors import DestinationStartError
from migratable.facts.targets import X86
from migratable.qemu import accelerator
from migratable.qemu.process import QemuProcess
from migratable.qemu.qmp import QmpError
from migratable.qemu.start_errors import start_message

_APIC = 1 << 9
"""CPUID_APIC, of CPUID[1].EDX."""


def ask(qemu: QemuProcess, line: CommandLine) -> Outlook:
    """What is known of *line* under KVM, for which *qemu* stands in.

    What the program itself knows is asked of it: the properties of its KVM accelerator, whether
    its CPU has a local APIC.
    """
    target = str(qemu.qmp("query-target").get("arch", ""))
    own = accelerator.runs_here(target)
    rows = _ask(qemu, "qom-list-properties", typename="kvm-accel")
    properties = None if rows is None else [str(row["name"]) for row in rows]
    if properties is None and own and set(line.accelerators) == {"kvm"}:
        return Outlook(refused=("invalid accelerator kvm",))
    if target not in X86:
        return Outlook(decides=(f"what it adds to a machine of {target}, and leaves out",))
    version = qemu.greeting.get("version", {}).get("qemu", {})
    machine = str(qemu.qmp("qom-get", path="/machine", property="type")).removesuffix("-machine")
    cpus: Any = _ask(qemu, "query-cpus-fast") or []
    return outlook(
        line,
        machine=machine,
        release=(int(version.get("major", 0)), int(version.get("minor", 0))),
        properties=properties,
        has_apic=_has_apic(qemu, cpus),
        cpus=len(cpus),
    )


def starts(qemu: QemuProcess, line: CommandLine) -> None:
    """Say whether the machine starts under KVM, as far as that is known.

    :raise DestinationStartError: When it starts on no host, with the line that ends it.
    """
    known = ask(qemu, line)
    if known.refused:
        raise DestinationStartError(start_message("", known.refused), stderr=known.refused)


def _has_apic(qemu: QemuProcess, cpus: Any) -> bool:
    if not cpus:
        return False
    words = _ask(qemu, "qom-get", path=cpus[0]["qom-path"], property="feature-words") or []
    return any(
        word.get("cpuid-input-eax") == 1
        and word.get("cpuid-register") == "EDX"
        and int(word.get("features", 0)) & _APIC
        for word in words
    )


def _ask(qemu: QemuProcess, command: str, /, **arguments: Any) -> Any:
    try:
        return qemu.qmp(command, **arguments)
    except QmpError:
        return None
