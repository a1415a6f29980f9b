"""A section without a device at the destination: a place, a missing device, CPUs, a mode."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migratable.commandline import CommandLine
from migratable.hints import (
    accelerators,
    backends,
    boards,
    ccw,
    cpu_places,
    cpus,
    devices,
    line_edits,
    machine_options,
    network,
    pci_placement,
    pseries,
    usb_scsi,
)
from migratable.hints.candidate import Candidate, Situation
from migratable.verdict import Finding

BUILT_IN: dict[str, tuple[tuple[str, str], ...]] = {
    "hpet": (("hpet", "on"),),
    "vmmouse": (("vmport", "on"), ("i8042", "on")),
    "pckbd": (("i8042", "on"),),
    "ps2kbd": (("i8042", "on"),),
    "ps2mouse": (("i8042", "on"),),
    "port92": (("i8042", "on"),),
    "i8254": (("pit", "on"),),
    "pcspk": (("pit", "on"),),
    "acpi_build": (("acpi", "on"),),
    "piix4_pm": (("acpi", "on"), ("smm", "on")),
    "ich9_ahci": (("sata", "on"),),
    "ich9_smb": (("smbus", "on"),),
    "i2c_bus": (("smbus", "on"), ("acpi", "on")),
    "fdc": (("fdc", "on"),),
}
_NO: dict[str, tuple[str, ...]] = {"hpet": ("no-hpet",), "acpi_build": ("no-acpi",)}
_XICS = frozenset({"ics", "icp/server"})
_XIVE = frozenset({"xive-source", "spapr-xive", "xive-tctx"})
_USB = frozenset({"uhci", "ehci", "ohci", "xhci"})
_CPU = frozenset({"cpu", "cpu_common", "apic", "spapr_cpu"})


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """By the section's name and place."""
    idstr, instance = finding.device or "", finding.instance_id or 0
    name = idstr.rpartition("/")[2] if idstr not in _XICS else idstr
    if name in _XICS or name in _XIVE:
        yield from pseries.controllers(situation)
        yield from cpus.models(situation)
    if name in _CPU or name in _XICS | {"xive-tctx"}:
        yield from cpu_places.candidates(situation)
        yield from machine_options.smp(situation)
        yield from cpus.models(situation)
    for option in _NO.get(name, ()):
        yield from machine_options.without(situation, option)
    device = situation.guest.at(idstr)
    if device is not None:
        yield from _on_pci(situation, finding, idstr)
    elif "@" in idstr and situation.pseries:
        yield from pseries.vio(situation, idstr)
    if name == "slirp":
        yield from network.slirp(situation)
    yield from ccw.placed(situation, idstr)
    yield from boards.switches(situation, name)
    yield from boards.transports(situation, idstr)
    for key, value in BUILT_IN.get(name, ()):
        yield from machine_options.machine(situation, key, value)
    if name == "kvmclock" and not situation.line.wants_kvm:
        yield accelerators.kvm()
    if name in {"spapr_pci", "PCIBUS", "spapr_iommu"} and situation.pseries:
        yield from pseries.host_bridges(situation)
    if device is None:
        yield from _elsewhere(situation, name, instance)
    yield from devices.dropped_globals(situation, idstr)
    yield from _machine_props(situation)


def _on_pci(situation: Situation, finding: Finding, idstr: str) -> Iterator[Candidate]:
    device = situation.guest.at(idstr)
    assert device is not None
    name = idstr.rpartition("/")[2]
    if device.path in situation.tree.pci():  # it is there, but not so, or not what is on it
        node = situation.tree.pci()[device.path]
        below = idstr[len(device.path) :].rpartition("/")[0]
        if below:
            yield from usb_scsi.below(situation, device, node, below, name)
    elif name in _USB and not any(True for _ in situation.line.all("usb")):
        yield from machine_options.machine(situation, "usb", "on")  # all of its controllers at once
    yield from pci_placement.arranged(situation, idstr)
    if name == "virtio-net" or re.match("e1000|rtl|vmx|pcnet", name):
        yield from machine_options.defaults(situation)


def _elsewhere(situation: Situation, name: str, instance: int) -> Iterator[Candidate]:
    """Devices on ISA, sysbus and the like: the drivers whose section has the name."""
    simple: dict[str, tuple[Candidate, ...]] = {
        "serial": (_no_then("serial", situation, "null"),),
        "parallel_isa": (_no_then("parallel", situation, "null"),),
        "fdc": (line_edits.appended("device", "isa-fdc"),),
    }
    yield from simple.get(name, ())
    # a device that registers its section itself is in no list (hw/ide/isa.c: isa_ide_realizefn)
    same = (one for one in (name, name.replace("_", "-")) if one in situation.parts.buses)
    for driver in situation.parts.drivers(name) or same:
        bus = situation.parts.buses.get(driver, "")
        if bus in {"PCI", "usb-bus", "SCSI", "IDE"}:
            continue
        for options, members in backends.generic(situation, driver, f"at-{name}-{instance}"):
            yield _added(options, ",".join([driver, *members]))
        if driver.startswith("ipmi-bmc"):
            yield line_edits.appended("device", f"{driver},id=bmc{instance}")
    if name in {"serial", "parallel_isa", "fdc", "vga"}:
        yield from machine_options.defaults(situation)


def _added(options: backends.Options, text: str) -> Candidate:
    every = [*options, ("device", text)]

    def edit(line: CommandLine) -> CommandLine:
        for name, value in every:
            line = line.append(name, value)
        return line

    return Candidate(action=" ".join(f"-{name} {value}" for name, value in every), edit=edit)


def _no_then(name: str, situation: Situation, value: str) -> Candidate:
    """As many ports as the guest has."""
    section = "serial" if name == "serial" else "parallel_isa"
    count = situation.guest.count(section)

    def edit(line: CommandLine) -> CommandLine:
        line = machine_options.drop(line, name)
        for _ in range(count):
            line = line.append(name, value)
        return line

    return Candidate(
        action=f"-{name} {value}" + (f" ({count} times)" if count > 1 else ""), edit=edit
    )


def _machine_props(situation: Situation) -> Iterator[Candidate]:
    """Drop each property of the machine that the line sets."""
    for key in line_edits.machine_keys(situation.line):
        yield line_edits.machine(key, None)
