"""Remedies for sections whose length or values do not fit: counts, then properties.

They are for every rule that has no module of its own in :mod:`.remedies`.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.commandline.line import global_of
from migratable.hints import (
    boards,
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


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """By the section's device."""
    idstr = finding.device or ""
    name = idstr.rpartition("/")[2]
    if not idstr:
        yield from _migration(situation)
    if name in _ACPI:
        yield from machine_options.memory_slots(situation)
    if name in _CPU_COUNT or idstr.startswith(_CONTROLLERS):
        yield from machine_options.smp(situation)
        yield from pseries.controllers(situation)
    if name in {"cpu", "spapr_cpu"} or idstr.startswith("cpu"):
        yield from boards.exception_levels(situation)
        yield from programs.candidates(situation)
        yield from cpus.models(situation)
        yield from cpus.without_features(situation)
    yield from devices.asked(situation, finding)
    if isinstance(finding.facts, PortsFacts):
        yield from serial_ports.numbered(situation, finding)
    if situation.guest.at(idstr) is not None:
        yield from property_probe.properties(situation, idstr)
        yield from devices.dropped(situation, idstr)
        yield from pci_placement.exchanged(situation, idstr)
        yield from pci_placement.moves(situation)
    else:
        yield from devices.dropped_of_kind(situation, idstr)
        yield from devices.dropped_globals(situation, idstr)
    for key in line_edits.machine_keys(situation.line):
        yield line_edits.machine(key, None)


def _migration(situation: Situation) -> Iterator[Candidate]:
    """What ``-global migration.`` says of the form of the stream."""
    for option in situation.line.all("global"):
        driver, name, value = global_of(option)
        if driver == "migration":
            yield line_edits.removed(option, f"-global {driver}.{name}={value}")
