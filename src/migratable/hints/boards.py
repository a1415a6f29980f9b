"""Options of boards other than the PC, by the section or RAM block that shows them."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.commandline import CommandLine
from migratable.hints import line_edits
from migratable.hints.candidate import Candidate, Situation

#: hw/{arm,riscv}/virt.c, hw/i386/microvm.c: properties of the machine by section or RAM block.
SWITCHES: dict[str, tuple[tuple[str, str], ...]] = {
    "ioapic": (("ioapic2", "on"),),
    "arm_gic": (("gic-version", "2"),),
    "arm_gicv3": (("gic-version", "3"),),
    "arm_gicv3_its": (("its", "on"), ("gic-version", "3")),
    "smmuv3": (("iommu", "smmuv3"),),
    "virt_acpi_build": (("acpi", "on"),),
    "acpi-ged": (("acpi", "on"),),
    "virt.secure-ram": (("secure", "on"),),
    "mach-virt.tag": (("mte", "on"),),
    "riscv_aplic": (("aia", "aplic"), ("aia", "aplic-imsic")),
    "riscv_imsic": (("aia", "aplic-imsic"),),
    "riscv_sifive_plic": (("aia", "none"),),
}
#: Models that guests are given, commonest first (hw/arm/virt.c: valid_cpus).
_MODELS = (
    *("cortex-a57", "cortex-a72", "cortex-a53", "max", "neoverse-n1", "cortex-a76", "cortex-a15"),
    *(
        "cortex-a710",
        "neoverse-v1",
        "neoverse-n2",
        "cortex-a55",
        "cortex-a35",
        "cortex-a7",
    ),
)


def switches(situation: Situation, name: str) -> Iterator[Candidate]:
    """Properties of the machine with which it has the section or block."""
    for key, value in SWITCHES.get(name, ()):
        now = situation.line.get("machine", key)
        if now == value:
            continue
        if now is not None:
            yield line_edits.machine(key, None)
        yield line_edits.machine(key, value)


def exception_levels(situation: Situation) -> Iterator[Candidate]:
    """Switches of Arm's virt by which its processors have registers more or fewer."""
    if situation.profile is None or situation.profile.target not in {"aarch64", "arm"}:
        return
    for key in ("virtualization", "secure", "mte"):
        value = "off" if situation.line.get("machine", key) == "on" else "on"
        yield line_edits.machine(key, value)


def transports(situation: Situation, idstr: str) -> Iterator[Candidate]:
    """Places of virtio-mmio devices: microvm has 24 with a second I/O APIC, else 8.

    A device gets the last one that is free. The second I/O APIC came with 6.1, and is there by
    default under TCG (``hw/i386/microvm.c: microvm_devices_init``).
    """
    if not idstr.startswith("virtio-mmio@") or not situation.machine.startswith("microvm"):
        return
    values = [one for one in ("off", "on") if situation.line.get("machine", "ioapic2") != one]
    for value in values:
        yield line_edits.machine("ioapic2", value)
    for driver in situation.parts.drivers(idstr.rpartition("/")[2]):
        if situation.parts.buses.get(driver) == "virtio-bus":
            for value in values:  # neither alone would be any better
                yield _transport_with(driver, value)


def _transport_with(driver: str, value: str) -> Candidate:
    def edit(line: CommandLine) -> CommandLine:
        return line.with_machine("ioapic2", value).append("device", driver)

    return Candidate(action=f"-device {driver} -machine ioapic2={value}", edit=edit)


def processors(situation: Situation) -> Iterator[Candidate]:
    """Arm's usual CPU models: the stream does not name the guest's."""
    if situation.profile is None or situation.profile.target not in {"aarch64", "arm"}:
        return
    for model in _MODELS:
        if (situation.line.cpu or "").lower() != model:

            def edit(line: CommandLine, model: str = model) -> CommandLine:
                return line.with_cpu(model)

            yield Candidate(action=f"-cpu {model}", edit=edit)
