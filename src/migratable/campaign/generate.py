"""Random machines. Everything comes from one ``random.Random``, so a seed gives the same again."""

from __future__ import annotations

import random
from dataclasses import replace

from migratable.campaign.kinds import options
from migratable.campaign.place import Builder
from migratable.campaign.pool import STRAY, Pool
from migratable.campaign.vm import Pairs, Vm, Words

FAMILIES = {
    "x86_64": ("pc-q35", "pc-i440fx"),
    "ppc64": ("pseries",),
    "aarch64": ("virt",),
    "s390x": ("s390-ccw-virtio",),
    "riscv64": ("virt",),
}
_TABLES = {"ppc64": "pseries", "aarch64": "arm", "s390x": "s390x", "riscv64": "riscv"}


def section(arch: str) -> str:
    """Which tables of ``options.toml`` a target uses: ``x86``, ``pseries``, ``arm``."""
    return _TABLES.get(arch, "x86")


def machine(rng: random.Random, pool: Pool) -> Vm | None:
    """A random machine for *pool*'s source; None when the releases have no machine type."""
    family = rng.choice(FAMILIES[pool.arch])
    own = pool.source.machines.get(family, [])
    shared = [
        name
        for name in own
        if all(name in inventory.machines.get(family, []) for inventory in pool.everybody)
    ]
    if not own:
        return None
    names = own if not shared or rng.random() < STRAY else shared
    # Most guests have a recent machine type.
    name = rng.choice(names[-4:] if rng.random() < 0.5 else names)
    tables = section(pool.arch)
    choices = options()
    vm = Vm(
        arch=pool.arch,
        family=family,
        machine=name,
        machine_props=machine_props(rng, pool, family, rng.choice((0, 0, 1, 1, 2, 3))),
        cpu=cpu(rng, pool, tables) if rng.random() < 0.6 else "",
        memory=rng.choice(choices["memory"][tables]),
        smp=rng.choice(choices["smp"][tables]) if rng.random() < 0.5 else "",
        defaults=rng.random() < 0.3,
    )
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        words = option(rng, pool, vm)
        if words:
            vm = replace(vm, options=(*vm.options, words))
    if rng.random() < 0.15:
        text = global_prop(rng, pool, tables)
        vm = replace(vm, global_props=(text,)) if text else vm
    builder = Builder(rng, pool, vm)
    count = rng.choice((1, 2, 2, 3, 3, 4, 5))
    if pool.held_out:
        builder.add_held_out()
        count -= 1
    for _ in range(count):
        builder.add()
    return builder.vm


def machine_props(rng: random.Random, pool: Pool, family: str, count: int) -> Pairs:
    """Some properties of the machine type."""
    tables = section(pool.arch)
    table = options()["machine"]["pc" if tables == "x86" else tables]
    names = [
        name
        for name, values in table.items()
        if values
        and pool.allows("machine", name)
        and pool.has(rng, lambda one, name=name: name in one.machine_props.get(family, []))  # type: ignore[misc]
    ]
    if family == "pseries" and count and rng.random() < 0.5:
        names = [name for name in names if name.startswith(("ic-", "cap-", "max-"))]
    chosen = rng.sample(names, min(count, len(names)))
    if "suppress-vmdesc" in chosen and rng.random() < 0.7:
        chosen.remove("suppress-vmdesc")
    return tuple((name, str(rng.choice(table[name]))) for name in chosen)


def cpu(rng: random.Random, pool: Pool, tables: str) -> str:
    """A CPU model, sometimes with features."""
    table = options()["cpu"]
    if rng.random() < 0.85:
        names = table[tables]
    else:
        names = [name for name in pool.source.cpus if name not in ("host", "base")] or table[tables]
        if tables == "pseries":
            names = [name for name in names if name.lower().startswith("power")]
    known = [
        name
        for name in names
        if pool.has(
            rng,
            lambda one, name=name: name.lower() in {cpu.lower() for cpu in one.cpus},  # type: ignore[misc]
        )
    ]
    # riscv64 does not list its models; a model that a release lacks ends at its start.
    text = rng.choice(known or (["max"] if pool.source.cpus else table[tables]))
    if tables == "x86" and rng.random() < 0.3:
        text = ",".join([text, *rng.sample(table["x86-features"], rng.choice((1, 1, 2)))])
    return str(text)


def option(rng: random.Random, pool: Pool, vm: Vm) -> Words:
    """Some option that is no device; empty when it does not fit."""
    table = options()["option"]
    names = [
        name
        for name, entry in table.items()
        if pool.arch in entry.get("arch", pool.arch).split() and pool.allows("option", name)
        for _ in range(entry.get("weight", 1))
    ]
    words = rng.choice(table[rng.choice(names)]["choices"])
    amount = vm.memory.partition(",")[0]
    return tuple(word.replace("@MEMORY@", amount) for word in words)


def global_prop(rng: random.Random, pool: Pool, tables: str) -> str:
    """A ``-global``."""
    names = [
        text
        for text in options()["global"][tables]
        if pool.allows("global", text.partition("=")[0])
    ]
    return str(rng.choice(names))
