"""A section without a device at the destination: a place, a missing device, CPUs, a mode."""

from __future__ import annotations

import re
from collections.abc import Iterator

from migratable.commandline import CommandLine
from migratable.hints import (
    accelerators,
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


def candidates(at: Situation, finding: Finding) -> Iterator[Candidate]:
    """By the section's name and place."""
    idstr, instance = finding.device or "", finding.instance_id or 0
    name = idstr.rpartition("/")[2] if idstr not in _XICS else idstr
    if name in _XICS or name in _XIVE:
        yield from pseries.controllers(at)
        yield from cpus.models(at)
    if name in _CPU or name in _XICS | {"xive-tctx"}:
        yield from cpu_places.candidates(at)
        yield from machine_options.smp(at)
        yield from cpus.models(at)
    for option in _NO.get(name, ()):
        yield from machine_options.without(at, option)
    device = at.guest.at(idstr)
    if device is not None:
        yield from _on_pci(at, finding, idstr)
    elif "@" in idstr and at.pseries:
        yield from pseries.vio(at, idstr)
    if name == "slirp":
        yield from network.slirp(at)
    yield from ccw.placed(at, idstr)
    yield from boards.switches(at, name)
    yield from boards.transports(at, idstr)
    for key, value in BUILT_IN.get(name, ()):
        yield from machine_options.machine(at, key, value)
    if name == "kvmclock" and not at.line.wants_kvm:
        yield accelerators.kvm()
    if name in {"spapr_pci", "PCIBUS", "spapr_iommu"} and at.pseries:
        yield from pseries.host_bridges(at)
    if device is None:
        yield from _elsewhere(at, name, instance)
    yield from devices.dropped_globals(at, idstr)
    yield from _machine_props(at)


def _on_pci(at: Situation, finding: Finding, idstr: str) -> Iterator[Candidate]:
    device = at.guest.at(idstr)
    assert device is not None
    name = idstr.rpartition("/")[2]
    if device.path in at.tree.pci():  # it is there, but not so, or not what is on it
        node = at.tree.pci()[device.path]
        below = idstr[len(device.path) :].rpartition("/")[0]
        if below:
            yield from usb_scsi.below(at, device, node, below, name)
    elif name in _USB and not any(True for _ in at.line.all("usb")):
        yield from machine_options.machine(at, "usb", "on")  # all of its controllers at once
    yield from pci_placement.arranged(at, idstr)
    if name == "virtio-net" or re.match("e1000|rtl|vmx|pcnet", name):
        yield from machine_options.defaults(at)


def _elsewhere(at: Situation, name: str, instance: int) -> Iterator[Candidate]:
    """Devices on ISA, sysbus and the like: the drivers whose section has the name."""
    simple: dict[str, tuple[Candidate, ...]] = {
        "serial": (_no_then("serial", at, "null"),),
        "parallel_isa": (_no_then("parallel", at, "null"),),
        "fdc": (line_edits.appended("device", "isa-fdc"),),
    }
    yield from simple.get(name, ())
    for driver in at.parts.drivers(name):
        bus = at.parts.buses.get(driver, "")
        if bus in {"PCI", "usb-bus", "SCSI", "IDE"}:
            continue
        yield line_edits.appended("device", driver)
        if driver.startswith("ipmi-bmc"):
            yield line_edits.appended("device", f"{driver},id=bmc{instance}")
    if name in {"serial", "parallel_isa", "fdc", "vga"}:
        yield from machine_options.defaults(at)


def _no_then(name: str, at: Situation, value: str) -> Candidate:
    """As many ports as the guest has."""
    section = "serial" if name == "serial" else "parallel_isa"
    count = at.guest.count(section)

    def edit(line: CommandLine) -> CommandLine:
        line = machine_options.drop(line, name)
        for _ in range(count):
            line = line.append(name, value)
        return line

    return Candidate(
        action=f"-{name} {value}" + (f" ({count} times)" if count > 1 else ""), edit=edit
    )


def _machine_props(at: Situation) -> Iterator[Candidate]:
    """Drop each property of the machine that the line sets."""
    for key in line_edits.machine_keys(at.line):
        yield line_edits.machine(key, None)
