"""Virtqueues: their number and size."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints import devices, machine_options, pci_placement, property_probe
from migratable.hints.candidate import Candidate, Situation
from migratable.problem_facts import QueueFacts
from migratable.verdict import Finding, Side

_ANY_SIZE = 1024


def candidates(situation: Situation, finding: Finding) -> Iterator[Candidate]:
    """Properties with the numbers of the stream."""
    idstr = finding.device or ""
    size = finding.facts.size if isinstance(finding.facts, QueueFacts) else 0
    if size != _ANY_SIZE:
        yield from machine_options.other_cpus(situation)
        yield from property_probe.properties(situation, idstr)
    else:
        for key in ("queue-size", "virtqueue_size", "rx_queue_size"):
            yield from devices.with_property(situation, idstr, key, str(size))
    yield from devices.dropped(situation, idstr)
    yield from pci_placement.exchanged(situation, idstr)
    if size == _ANY_SIZE:
        yield Candidate(
            action="no option of the destination: releases up to 10.x start these queues with 1024 "
            "entries and this one loads at most the allocated size. Rewrite a saved guest "
            "(migratable convert), use a release before 11.0, or unload the guest's driver (or "
            "unplug the device) at the source during the migration",
            side=Side.SOURCE,
            last_resort=True,
        )
