"""The cases of a campaign: one source, several destinations; the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from migratable.campaign.accelerators import accelerated
from migratable.campaign.case import Group, Side
from migratable.campaign.generate import machine
from migratable.campaign.inventory import Inventory
from migratable.campaign.mutate import mutated
from migratable.campaign.pool import Pool
from migratable.campaign.vary import varied
from migratable.lab import Installed

#: Targets of a campaign that is not told otherwise; a seed gives the same cases for the same.
USUAL = ("x86_64", "x86_64", "x86_64", "ppc64", "ppc64")
_DESTINATIONS = 4
_FORWARD = 0.7
_CHANGES = (0, 0, 0, 0, 1, 1, 1, 1, 2, 2)
_RUNS = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 0.8, 1.2, 2.0)


def groups(
    seed: int,
    programs: Sequence[Installed],
    inventories: Mapping[tuple[str, str], Inventory],
    *,
    held_out: bool = False,
    kvm: bool = False,
    archs: Sequence[str] = USUAL,
) -> Iterator[Group]:
    """Groups without end; targets as often as *archs* has them.

    :param kvm: most of them under KVM.
    """
    number = 0
    while True:
        name = f"{seed}:{number}{':kvm' if kvm else ''}{':held-out' if held_out else ''}"
        group = _group(name, programs, inventories, held_out=held_out, archs=archs)
        if group is not None:
            yield accelerated(group) if kvm else group
        number += 1


def _group(
    name: str,
    programs: Sequence[Installed],
    inventories: Mapping[tuple[str, str], Inventory],
    *,
    held_out: bool,
    archs: Sequence[str],
) -> Group | None:
    rng = random.Random(f"migratable-campaign:{name}")  # noqa: S311 -- to be had again
    arch = rng.choice(archs)
    releases = [program.release for program in programs if program.arch == arch]
    if not releases:
        return None
    source = rng.choice(releases)
    # Half of all machines use only two releases, so that they can use every device of both.
    if rng.random() < 0.5:
        others = [rng.choice(releases)] * _DESTINATIONS
    else:
        others = [rng.choice(releases) for _ in range(_DESTINATIONS)]
    if arch == "ppc64":  # an older release takes no newer pseries, whatever else there is
        for index, other in enumerate(others):
            if releases.index(other) < releases.index(source) and rng.random() < _FORWARD:
                others[index] = rng.choice(releases[releases.index(source) :])
    own = inventories[source, arch]
    pool = Pool(
        arch=arch,
        source=own,
        everybody=tuple(inventories[other, arch] for other in dict.fromkeys(others)),
        held_out=held_out,
    )
    vm = machine(rng, pool)
    if vm is None:
        return None
    vm = varied(random.Random(f"migratable-campaign-ways:{name}"), pool, vm)  # noqa: S311
    run = rng.choice(_RUNS)
    destinations: list[Side] = []
    for other in others:
        one = Pool(
            arch=arch,
            source=own,
            everybody=(inventories[other, arch],),
            held_out=held_out,
        )
        changed, names = mutated(rng, one, vm, rng.choice(_CHANGES))
        side = Side(release=other, arch=arch, argv=tuple(changed.argv), changes=tuple(names))
        if side not in destinations:
            destinations.append(side)
    return Group(
        label=name,
        source=Side(release=source, arch=arch, argv=tuple(vm.argv), run=run),
        destinations=tuple(destinations),
    )
