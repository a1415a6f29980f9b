"""Random changes to a machine: what differs between source and destination."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from migratable.campaign import generate
from migratable.campaign.generate import FAMILIES
from migratable.campaign.kinds import kinds, options
from migratable.campaign.place import Builder
from migratable.campaign.pool import Pool
from migratable.campaign.vm import Device, Vm, with_pair


def mutated(rng: random.Random, pool: Pool, vm: Vm, count: int) -> tuple[Vm, list[str]]:
    """*vm* with *count* changes, and their names."""
    names: list[str] = []
    for _ in range(count):
        for _ in range(8):
            name = rng.choices(list(_MUTATIONS), [weight for weight, _ in _MUTATIONS.values()])[0]
            changed = _MUTATIONS[name][1](rng, pool, vm)
            if changed is not None and changed != vm:
                vm = changed
                names.append(name)
                break
    return vm, names


def _machine_version(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    there = pool.everybody[-1].machines.get(vm.family, [])
    others = [name for name in there if name != vm.machine]
    if not others:
        return None
    near = [name for name in others if vm.machine in there and _near(there, name, vm.machine)]
    return replace(vm, machine=rng.choice(near or others))


def _near(names: list[str], one: str, other: str) -> bool:
    return abs(names.index(one) - names.index(other)) <= 3


def _family(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    others = [name for name in FAMILIES[vm.arch] if name != vm.family]
    names = pool.everybody[-1].machines.get(others[0], []) if others else []
    return replace(vm, family=others[0], machine=rng.choice(names)) if names else None


def _machine_prop(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    if vm.machine_props and rng.random() < 0.35:
        name, _ = rng.choice(vm.machine_props)
        return replace(vm, machine_props=with_pair(vm.machine_props, name, None))
    props = vm.machine_props
    for name, value in generate.machine_props(rng, pool, vm.family, 1):
        props = with_pair(props, name, value)
    return replace(vm, machine_props=props)


def _cpu(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    if vm.cpu and rng.random() < 0.2:
        return replace(vm, cpu="")
    return replace(vm, cpu=generate.cpu(rng, pool, generate.section(vm.arch)))


def _memory(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    return replace(vm, memory=rng.choice(options()["memory"][generate.section(vm.arch)]))


def _smp(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    return replace(vm, smp=rng.choice(["", *options()["smp"][generate.section(vm.arch)]]))


def _defaults(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    return replace(vm, defaults=not vm.defaults)


def _option(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    if vm.options and rng.random() < 0.5:
        gone = rng.choice(vm.options)
        return replace(vm, options=tuple(option for option in vm.options if option != gone))
    words = generate.option(rng, pool, vm)
    return replace(vm, options=(*vm.options, words)) if words else None


def _global(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    if vm.global_props and rng.random() < 0.5:
        return replace(vm, global_props=vm.global_props[:-1])
    text = generate.global_prop(rng, pool, generate.section(vm.arch))
    return replace(vm, global_props=(*vm.global_props, text)) if text else None


def _without(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    """Take a device away that nothing sits on (mostly)."""
    buses = {dict(device.props).get("bus", "").partition(".")[0] for device in vm.devices}
    links = {value for device in vm.devices for _, value in device.props}
    free = [
        device for device in vm.devices if device.name not in buses and device.name not in links
    ]
    if not free:
        return None
    gone = rng.choice(free)
    return replace(vm, devices=tuple(device for device in vm.devices if device is not gone))


def _with(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    builder = Builder(rng, pool, vm)
    builder.add()
    return builder.vm


def _property(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    """Another value for a property of a device, a new one, or none any more."""
    if not vm.devices:
        return None
    device = rng.choice(vm.devices)
    kind = kinds().get(device.kind)
    if kind is None:
        return None
    names = [
        name
        for name in kind.props
        if pool.has(rng, lambda one, name=name: name in one.devices.get(device.driver, ()))  # type: ignore[misc]
    ]
    given = [name for name, _ in device.props if name in kind.props]
    if given and rng.random() < 0.5:
        name = rng.choice(given)
        value = None if rng.random() < 0.4 else rng.choice(kind.props[name])
    elif names:
        name = rng.choice(names)
        value = rng.choice(kind.props[name])
    else:
        return None
    return _replaced(vm, device, replace(device, props=with_pair(device.props, name, value)))


def _replaced(vm: Vm, old: Device, new: Device) -> Vm:
    return replace(vm, devices=tuple(new if device is old else device for device in vm.devices))


def _move(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    """Another address, bus, port or unit."""
    table = kinds()
    movable = [
        device
        for device in vm.devices
        if device.kind in table
        and table[device.kind].bus in ("pci", "usb", "scsi", "ide", "vio", "ccw")
    ]
    if not movable:
        return None
    device = rng.choice(movable)
    bus = table[device.kind].bus
    if bus == "pci":
        props = with_pair(device.props, "addr", hex(rng.randrange(3, 0x1D)))
        if "bus" in dict(device.props) and rng.random() < 0.5:
            props = with_pair(props, "bus", None)
    elif bus == "usb":
        props = with_pair(device.props, "port", str(rng.randrange(1, 4)))
    elif bus == "ccw":
        props = with_pair(device.props, "devno", f"fe.0.{rng.randrange(0x1000):04x}")
    elif bus == "scsi":
        props = with_pair(device.props, "scsi-id", str(rng.randrange(4)))
    elif bus == "ide":
        prefix = dict(device.props).get("bus", "ide.0").rpartition(".")[0]
        props = with_pair(device.props, "bus", f"{prefix}.{rng.randrange(4)}")
    else:
        props = with_pair(device.props, "reg", hex(0x71000000 + rng.randrange(16)))
    return _replaced(vm, device, replace(device, props=props))


def _order(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    """Two neighbours change places, and with that their automatic addresses."""
    if len(vm.devices) < 2:
        return None
    at = rng.randrange(len(vm.devices) - 1)
    devices = list(vm.devices)
    devices[at], devices[at + 1] = devices[at + 1], devices[at]
    return replace(vm, devices=tuple(devices))


def _driver(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    """Another driver of the same kind."""
    several = [
        device
        for device in vm.devices
        if device.kind in kinds()
        and len(set(kinds()[device.kind].drivers)) > 1
        and "cpu" not in device.driver
    ]
    if not several:
        return None
    device = rng.choice(several)
    names = [
        name
        for name in kinds()[device.kind].drivers
        if name != device.driver and all(name in inventory.devices for inventory in pool.everybody)
    ]
    return _replaced(vm, device, replace(device, driver=rng.choice(names))) if names else None


def _backend(rng: random.Random, pool: Pool, vm: Vm) -> Vm | None:
    """Another kind of network, or another size of a disk or of memory."""
    having = [device for device in vm.devices if device.backends]
    if not having:
        return None
    device = rng.choice(having)
    changes = {
        "user,": "hubport,hubid=0,",
        "size=64M": "size=128M",
        "size=1G": "size=64M",
        "size=32M": "size=64M",
        "size=128M": "size=256M",
        "size=256M": "size=128M",
        "size=1M": "size=4M",
        "size=4M": "size=1M",
        "hubport,": "user,",
        ",hubid=0": "",
        "rng-builtin": "rng-random,filename=/dev/urandom",
    }
    backends = []
    for words in device.backends:
        text = words[1]
        for old, new in changes.items():
            if old in text:
                text = text.replace(old, new)
                if new != "user,":
                    break
        backends.append((words[0], text))
    return _replaced(vm, device, replace(device, backends=tuple(backends)))


_MUTATIONS: dict[str, tuple[float, Callable[[random.Random, Pool, Vm], Vm | None]]] = {
    "machine-version": (1.2, _machine_version),
    "family": (0.1, _family),
    "machine-prop": (3, _machine_prop),
    "cpu": (2.5, _cpu),
    "memory": (1, _memory),
    "smp": (1.5, _smp),
    "defaults": (0.4, _defaults),
    "option": (2, _option),
    "global": (2, _global),
    "device-removed": (1.5, _without),
    "device-added": (2, _with),
    "property": (7, _property),
    "moved": (1.5, _move),
    "order": (0.8, _order),
    "driver": (1, _driver),
    "backend": (1.5, _backend),
}
