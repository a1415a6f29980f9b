"""Other spellings and habits: what people's command lines have besides devices and values.

Drawn from a generator of its own, so that cases without it stay what they were.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from migratable.campaign.place import Builder
from migratable.campaign.pool import Pool
from migratable.campaign.vm import Vm, with_pair

_SHARE = 0.25
_ALIASES = {
    "pc-q35": "q35",
    "pc-i440fx": "pc",
    "pseries": "pseries",
    "virt": "virt",
    "s390-ccw-virtio": "s390-ccw-virtio",
}


def varied(rng: random.Random, pool: Pool, vm: Vm) -> Vm:
    """*vm*, or for a quarter of them the same machine in another way."""
    if rng.random() >= _SHARE:
        return vm
    return rng.choice(_WAYS)(rng, pool, vm)


def _alias(rng: random.Random, pool: Pool, vm: Vm) -> Vm:
    """A machine type without version: each release takes its newest."""
    return replace(vm, machine=_ALIASES[vm.family])


def _json(rng: random.Random, pool: Pool, vm: Vm) -> Vm:
    """``-device`` as libvirt writes it for QEMU 6.2 and later."""
    return replace(vm, json=True)


def _no_backend(rng: random.Random, pool: Pool, vm: Vm) -> Vm:
    """Network cards that are connected to nothing, disks without a medium."""
    devices = tuple(
        replace(device, backends=(), props=with_pair(device.props, "netdev", None))
        if any(name == "netdev" for name, _ in device.props)
        else device
        for device in vm.devices
    )
    return replace(vm, devices=devices)


def _nographic(rng: random.Random, pool: Pool, vm: Vm) -> Vm:
    return replace(vm, options=(*vm.options, ("-nographic",)))


def _nodes(rng: random.Random, pool: Pool, vm: Vm) -> Vm:
    """Two NUMA nodes with memory of their own."""
    if vm.arch not in {"x86_64", "ppc64", "aarch64"}:
        return _nographic(rng, pool, vm)
    half = "512M" if vm.family == "pseries" else "128M"
    total = "1G" if vm.family == "pseries" else "256M"
    words: list[str] = []
    for node in range(2):
        words += ["-object", f"memory-backend-ram,id=node{node},size={half}"]
        words += ["-numa", f"node,nodeid={node},memdev=node{node}"]
    options = tuple(
        option
        for option in vm.options
        if "-numa" not in option and "memory-backend=" not in " ".join(option)
    )
    return replace(
        vm,
        memory=",".join([total, *vm.memory.split(",")[1:]]),
        smp="2" if not vm.smp.startswith("2") else vm.smp,
        options=(*options, tuple(words)),
    )


def _shared_memory(rng: random.Random, pool: Pool, vm: Vm) -> Vm:
    amount = vm.memory.partition(",")[0]
    text = f"memory-backend-memfd,id=mem,size={amount},share=on"
    options = tuple(
        option
        for option in vm.options
        if "-numa" not in option and "memory-backend=" not in " ".join(option)
    )
    return replace(vm, options=(*options, ("-object", text, "-machine", "memory-backend=mem")))


def _libvirt_ports(rng: random.Random, pool: Pool, vm: Vm) -> Vm:
    """Root ports as functions of one slot, as libvirt puts them."""
    if vm.family != "pc-q35":
        return _nographic(rng, pool, vm)
    words: list[str] = []
    for number in range(rng.choice((4, 8))):
        more = ",multifunction=on" if number == 0 else ""
        words += [
            "-device",
            f"pcie-root-port,port={16 + number},chassis={101 + number},id=port{number},"
            f"bus=pcie.0{more},addr=0x1c.{number:#x}",
        ]
    return replace(vm, options=(*vm.options, tuple(words)))


def _rare(rng: random.Random, pool: Pool, vm: Vm) -> Vm:
    """One or two devices of the rare kinds."""
    builder = Builder(rng, pool, vm)
    rare = [kind for kind in pool.kinds() if kind.weight == 0]
    for _ in range(12 if rare else 0):
        if builder.place(rng.choice(rare)) and rng.random() < 0.6:
            break
    return builder.vm


def _companions(rng: random.Random, pool: Pool, vm: Vm) -> Vm:
    """USB 2 as libvirt writes it: one controller with three companions."""
    if vm.arch == "s390x":
        return _nographic(rng, pool, vm)
    words: list[str] = ["-device", "ich9-usb-ehci1,id=usb,addr=0x1a.0x7"]
    for number in range(3):
        more = ",multifunction=on" if number == 0 else ""
        words += [
            "-device",
            f"ich9-usb-uhci{number + 1},masterbus=usb.0,firstport={2 * number},"
            f"addr=0x1a.{number:#x}{more}",
        ]
    words += ["-device", "usb-tablet,bus=usb.0,port=1"]
    return replace(vm, options=(*vm.options, tuple(words)))


_WAYS: tuple[Callable[[random.Random, Pool, Vm], Vm], ...] = (
    _alias,
    _json,
    _json,
    _no_backend,
    _nographic,
    _nodes,
    _shared_memory,
    _libvirt_ports,
    _rare,
    _rare,
    _rare,
    _rare,
    _companions,
)
