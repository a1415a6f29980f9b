"""Remedies for sections whose length or values do not fit: counts, then properties.

They are for every rule that has no module of its own in :mod:`.remedies`.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.commandline.line import global_of
from migratable.hints import (
    cpus,
    devices,
    line_edits,
    machine_options,
    pci_placement,
    programs,
    property_probe,
    pseries,
    serial_ports,
)
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import PortsFacts
from migratable.verdict import Finding

_ACPI = ("piix4_pm", "ICH9LPC", "acpi-ged")
_CPU_COUNT = (*_ACPI, "spapr-xive", "ics", "xive", "ioapic", "apic")
_CONTROLLERS = ("ics", "xive", "icp")


def candidates(at: Situation, finding: Finding) -> Iterator[Candidate]:
    """By the section's device."""
    idstr = finding.device or ""
    name = idstr.rpartition("/")[2]
    if not idstr:
        yield from _migration(at)
    if name in _ACPI:
        yield from machine_options.memory_slots(at)
    if name in _CPU_COUNT or idstr.startswith(_CONTROLLERS):
        yield from machine_options.smp(at)
        yield from pseries.controllers(at)
    if name in {"cpu", "spapr_cpu"} or idstr.startswith("cpu"):
        yield from programs.candidates(at)
        yield from cpus.models(at)
        yield from cpus.without_features(at)
    yield from devices.asked(at, finding)
    if isinstance(finding.facts, PortsFacts):
        yield from serial_ports.numbered(at, finding)
    if at.guest.at(idstr) is not None:
        yield from property_probe.properties(at, idstr)
        yield from devices.dropped(at, idstr)
        yield from pci_placement.exchanged(at, idstr)
        yield from pci_placement.moves(at)
    else:
        yield from devices.dropped_of_kind(at, idstr)
        yield from devices.dropped_globals(at, idstr)
    for key in line_edits.machine_keys(at.line):
        yield line_edits.machine(key, None)


def _migration(at: Situation) -> Iterator[Candidate]:
    """What ``-global migration.`` says of the form of the stream."""
    for option in at.line.all("global"):
        driver, name, value = global_of(option)
        if driver == "migration":
            yield line_edits.removed(option, f"-global {driver}.{name}={value}")
