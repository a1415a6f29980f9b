"""Predictions for fleets: many equal VMs, and VMs that are all different.

A VM differs from its kind as running guests differ: clocks, timers, registers and addresses, here
every 64-bit number of its devices' state that is no feature, mode or size. Destinations are
profiles of real programs, from the cache where they were taken before; without a lab release there
are no rows.
"""

from __future__ import annotations

import random
import re
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks import Row
from migratable.check import check
from migratable.commandline import parse
from migratable.errors import LabError
from migratable.fleet.destinations import collected
from migratable.fleet.entities import Destination, Guest
from migratable.fleet.matrix import run
from migratable.fleet.model import Fleet, Host, Vm
from migratable.fleet.resolve import Resolved
from migratable.gate import recipes
from migratable.gate.programs import Device, Program, program
from migratable.profile.model import Profile
from migratable.stream import SectionKind, Stream, read
from migratable.stream.fields import decode
from migratable.stream.model import Element, Section

_RELEASES = ("7.2", "10.0", "11.1")
_MACHINE = "pc-q35-7.2"
_DEVICES = (
    "",
    "virtio-blk-pci",
    "virtio-net-pci",
    "virtio-rng-pci",
    "e1000e",
    "usb-storage",
    "AC97",
)
_SINGLE = 40
_NUMBERS = frozenset({"uint64", "int64", "timer"})
# What a running guest has chosen once: features, processor modes, sizes of tables.
_MEANS = re.compile(r"features|env\.cr|env\.efer|env\.xcr|_size$")


def rows() -> Iterator[Row]:
    """Two fleets, beside checks of single pairs; no pair is checked twice in either."""
    programs = list(_programs())
    if not programs:
        return
    profiles = [
        _profile(one, one.devices[name] if name else None)
        for name in _DEVICES
        for one in programs
        if not name or name in one.devices
    ]
    streams = [read(one.stream) for one in profiles]
    spread = [places(stream) for stream in streams]
    rnd = random.Random(1)

    def different(at: int) -> Stream:
        return altered(streams[at % len(streams)], spread[at % len(streams)], rnd)

    kinds = [different(at) for at in range(50)]
    equal = [replace(kinds[at % 50], facts=dict(kinds[at % 50].facts)) for at in range(10_000)]
    start = time.perf_counter()
    for at in range(_SINGLE):
        check(kinds[at % 50], profiles[at % 8])
    single = (time.perf_counter() - start) / _SINGLE
    yield Row(what="check of one pair, in a program that runs", value=single)
    took = _seconds(equal, [profiles[at % 8] for at in range(200)])
    what = "10,000 VMs of 50 shapes x 200 hosts of 8 shapes"
    yield Row(what=what, value=took, beside=400 * single, most=0.5, note="beside 400 checks")
    took = _seconds([different(at) for at in range(1000)], (profiles * 20)[:20])
    what, note = "1,000 different VMs x 20 destinations", "beside 20,000 checks"
    yield Row(what=what, value=took, beside=20_000 * single, most=0.05, note=note)
    yield Row(what="  which is", value=20_000 / took, unit="pairs/s")


def _programs() -> Iterator[Program]:
    for release in _RELEASES:
        try:
            yield program(release, "x86_64")
        except LabError:
            continue


def _profile(one: Program, device: Device | None) -> Profile:
    return collected(parse([*one.command, *recipes.words(_MACHINE, device)]))


def places(stream: Stream) -> dict[int, list[tuple[int, int]]]:
    """Places of the 64-bit numbers in each section: by its offset, (first, size)."""
    out: dict[int, list[tuple[int, int]]] = {}
    for section in stream.devices:
        start = section.body_offset or 0
        out[section.offset or 0] = [
            (field.offset - start, field.size)
            for path, field in decode(section).walk()
            if field.type in _NUMBERS and not field.children and not _MEANS.search(path[-1])
        ]
    return out


def altered(stream: Stream, spread: dict[int, list[tuple[int, int]]], rnd: random.Random) -> Stream:
    """The same VM, some time later."""
    elements: list[Element] = []
    for one in stream.elements:
        if isinstance(one, Section) and one.kind is SectionKind.FULL:
            body = bytearray(one.body)
            for first, size in spread[one.offset or 0]:
                for at in range(first, first + size, 8):
                    body[at + 4 : at + 8] = rnd.randbytes(4)
            elements.append(replace(one, body=bytes(body)))
        else:
            elements.append(one)
    return replace(stream, elements=tuple(elements))


def _seconds(streams: Sequence[Stream], profiles: Sequence[Profile]) -> float:
    """Best of two: everything from streams and profiles to the causes' ranking."""
    fleet = Fleet(
        vms=tuple(Vm(name=f"vm{at}", source="x") for at in range(len(streams))),
        hosts=tuple(Host(name=f"host{at}", profiles={"": "x"}) for at in range(len(profiles))),
    )
    guests = tuple(
        Guest(vm=vm, stream=stream) for vm, stream in zip(fleet.vms, streams, strict=True)
    )
    numbers = {id(one): at for at, one in enumerate(profiles)}
    row = array("I", [numbers[id(one)] for one in profiles])
    choice = array("I")
    for _ in streams:
        choice.extend(row)
    resolved = Resolved(
        fleet=fleet,
        guests=guests,
        destinations=tuple(Destination(name="x", profile=one) for one in profiles),
        choice=choice,
    )
    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        matrix = run(resolved)
        assert matrix.ranking.causes is not None
        best = min(best, time.perf_counter() - start)
    return best
