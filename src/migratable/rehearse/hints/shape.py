"""Remedies for sections whose length or values do not fit: counts, then properties."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.rehearse.hints import cpus, devices, edits, knobs, places, probe, pseries
from migratable.rehearse.hints.candidate import Candidate, Situation
from migratable.verdict import Finding

_CPU_COUNT = ("piix4_pm", "ICH9LPC", "spapr-xive", "ics", "xive", "acpi-ged", "ioapic", "apic")


def candidates(at: Situation, finding: Finding) -> Iterator[Candidate]:
    """By the section's device."""
    idstr = finding.device or ""
    name = idstr.rpartition("/")[2]
    if name in _CPU_COUNT or idstr.startswith(("spapr", "ics", "xive", "icp")):
        yield from knobs.smp(at)
        yield from pseries.controllers(at)
    if name in {"cpu", "spapr_cpu"} or idstr.startswith("cpu"):
        yield from cpus.models(at)
        yield from cpus.without_features(at)
    if at.guest.at(idstr) is not None:
        yield from probe.properties(at, idstr)
        yield from devices.dropped(at, idstr)
        yield from places.exchanged(at, idstr)
        yield from places.moves(at)
    else:
        yield from devices.dropped_globals(at, idstr)
    for key in edits.machine_keys(at.line):
        yield edits.machine(key, None)
