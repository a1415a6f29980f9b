"""Put devices into a machine: a bus with what makes it, backends, names, properties."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import replace

from migratable.campaign.kinds import Kind, held_out, kinds
from migratable.campaign.pool import Pool
from migratable.campaign.vm import Device, Vm, Words, with_pair

_TRIES = 12
_EXPRESS = frozenset({"pc-q35", "virt"})


class Builder:
    """Adds devices to a machine.

    :ivar vm: the machine as it is now.
    """

    def __init__(self, rng: random.Random, pool: Pool, vm: Vm) -> None:
        """Begin with *vm*."""
        self.rng = rng
        self.pool = pool
        self.vm = vm
        used = [int(device.name[1:]) for device in vm.devices if re.fullmatch(r"d\d+", device.name)]
        self._number = max(used, default=-1) + 1

    # What to add

    def add(self) -> None:
        """Add a device of any kind that fits (sometimes none does)."""
        candidates = self.pool.kinds()
        weights = [kind.weight for kind in candidates]
        for _ in range(_TRIES):
            if self.place(self.rng.choices(candidates, weights)[0]):
                return

    def add_held_out(self) -> None:
        """Add a device of a kind that is held out."""
        candidates = [kind for kind in self.pool.kinds() if held_out("kind", kind.name)]
        for _ in range(_TRIES):
            if self.place(self.rng.choice(candidates)):
                return

    def place(self, kind: Kind) -> bool:
        """Add a device of *kind*, and what it sits on; False when it does not fit."""
        before = self.vm
        driver = self._driver(kind)
        placed = driver is not None and self._put(kind, driver)
        if not placed:
            self.vm = before
        return placed

    def _driver(self, kind: Kind) -> str | None:
        if kind.bus == "core":
            return "core"
        fitting = [
            name
            for name in kind.drivers
            if self.pool.has(self.rng, lambda one, name=name: name in one.devices)  # type: ignore[misc]
        ]
        return self.rng.choice(fitting) if fitting else None

    def _put(self, kind: Kind, driver: str) -> bool:
        placers: dict[str, Callable[[Kind, str], dict[str, str] | None]] = {
            "pci": self._pci,
            "pci0": self._root_bus,
            "pcie0": self._root_complex,
            "rp": lambda kind, driver: self._on("port-bus", ""),
            "usb": self._usb,
            "scsi": lambda kind, driver: self._on("scsi", ".0"),
            "port": lambda kind, driver: self._on("port", ".0"),
            "hda": lambda kind, driver: self._on("hda", ".0"),
            "sd": lambda kind, driver: self._on("sd", ""),
            "ufs": lambda kind, driver: self._on_all("ufs", ""),
            "nvme": lambda kind, driver: self._on_all("nvme", ""),
            "ccid": lambda kind, driver: self._ccid(),
            "ide": self._ide,
            "isa": lambda kind, driver: {} if self.pool.arch == "x86_64" else None,
            "floppy": lambda kind, driver: {} if self.vm.family == "pc-i440fx" else None,
            "ipmi": self._ipmi,
            "dimm": self._dimm,
            "core": self._core,
            "q35": lambda kind, driver: {} if self.vm.family == "pc-q35" else None,
            "vio": lambda kind, driver: {},
            "mmio": lambda kind, driver: {},
            "ccw": lambda kind, driver: self._channel(),
            "": lambda kind, driver: {},
        }
        place = placers[kind.bus](kind, driver)
        if place is None:
            return False
        driver = place.pop("driver", driver)
        name = self._name()
        backends, links = self._backend(kind, driver, name)
        props = {key: self.rng.choice(values) for key, values in kind.fixed.items()}
        props |= links | place
        for key, value in self._properties(kind, driver).items():
            props.setdefault(key, value)
        device = Device(
            kind=kind.name,
            driver=driver,
            name=name,
            props=tuple(props.items()),
            backends=backends,
        )
        self.vm = replace(self.vm, devices=(*self.vm.devices, device))
        if kind.provides == "upstream":
            self._downstream(name)
        return True

    def _name(self) -> str:
        self._number += 1
        return f"d{self._number - 1}"

    # Properties

    def _properties(self, kind: Kind, driver: str) -> dict[str, str]:
        count = self.rng.choice((0, 0, 0, 1, 1, 1, 2, 3))
        names = [name for name in kind.props if self._has_property(driver, name)]
        if self.rng.random() < 0.75:  # what people set
            names = [name for name in names if not name.startswith("x-")]
        chosen = self.rng.sample(names, min(count, len(names)))
        return {name: self.rng.choice(kind.props[name]) for name in chosen}

    def _has_property(self, driver: str, name: str) -> bool:
        return self.pool.has(self.rng, lambda inventory: name in inventory.devices.get(driver, ()))

    def _backend(
        self, kind: Kind, driver: str, name: str
    ) -> tuple[tuple[Words, ...], dict[str, str]]:
        rng = self.rng
        if kind.backend == "netdev":
            what = rng.choice(("user", "user", "hubport"))
            text = f"user,id=n{name}" if what == "user" else f"hubport,id=n{name},hubid=0"
            return (("-netdev", text),), {"netdev": f"n{name}"}
        if kind.backend == "drive":
            size = rng.choice(("64M", "64M", "1G", "1440K" if kind.name == "floppy" else "32M"))
            if rng.random() < 0.6:
                text = f"if=none,id=b{name},driver=null-co,size={size}"
                return (("-drive", text),), {"drive": f"b{name}"}
            unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[size[-1]]
            text = f"driver=null-co,node-name=b{name},size={int(size[:-1]) * unit}"
            return (("-blockdev", text),), {"drive": f"b{name}"}
        if kind.backend in ("chardev", "chardev-maybe"):
            if kind.backend == "chardev-maybe" and rng.random() < 0.5:
                return (), {}
            return (("-chardev", f"null,id=c{name}"),), {"chardev": f"c{name}"}
        if kind.backend == "chardev-serial":
            links = {"chardev": f"c{name}"}
            backends: list[Words] = [("-chardev", f"null,id=c{name}")]
            if driver == "pci-serial-2x":  # without both it dies when it is saved
                links = {"chardev1": f"c{name}", "chardev2": f"c{name}b"}
                backends.append(("-chardev", f"null,id=c{name}b"))
            return tuple(backends), links
        if kind.backend == "audiodev":
            return (("-audiodev", f"none,id=a{name}"),), {"audiodev": f"a{name}"}
        if kind.backend == "rng":
            if kind.name != "spapr-rng" and rng.random() < 0.4:
                return (), {}
            source = rng.choice(("rng-builtin", "rng-random,filename=/dev/urandom"))
            head, _, rest = source.partition(",")
            text = f"{head},id=r{name}" + (f",{rest}" if rest else "")
            return (("-object", text),), {"rng": f"r{name}"}
        if kind.backend in ("memdev", "vmem"):
            size = rng.choice(("64M", "128M", "256M") if kind.name != "ivshmem" else ("1M", "4M"))
            text = f"memory-backend-ram,id=m{name},size={size}"
            if kind.name == "ivshmem":
                text += ",share=on"
            return (("-object", text),), {"memdev": f"m{name}"}
        if kind.backend == "fsdev":
            text = f"local,id=f{name},path=/tmp,security_model=none"
            return (("-fsdev", text),), {"fsdev": f"f{name}", "mount_tag": f"t{name}"}
        if kind.backend == "cryptodev":
            text = f"cryptodev-backend-builtin,id=k{name}"
            return (("-object", text),), {"cryptodev": f"k{name}"}
        if kind.backend == "can":
            return (("-object", f"can-bus,id=can{name}"),), {}
        return (), {}

    # Places

    def _providers(self, what: str) -> list[Device]:
        table = kinds()
        return [
            device
            for device in self.vm.devices
            if device.kind in table and table[device.kind].provides == what
        ]

    def _provider(self, what: str) -> Device | None:
        """A device that makes a bus of this sort; one is added when there is none."""
        there = self._providers(what)
        if not there:
            makers = [kind for kind in self.pool.kinds() if kind.provides == what]
            weights = [kind.weight for kind in makers]
            if not makers or not self.place(self.rng.choices(makers, weights)[0]):
                return None
            there = self._providers(what)
        return self.rng.choice(there) if there else None

    def _on(self, what: str, suffix: str) -> dict[str, str] | None:
        device = self._provider(what)
        if device is None:
            return None
        return {"bus": f"{device.name}{suffix}"} if suffix or what == "port-bus" else {}

    def _on_all(self, what: str, suffix: str) -> dict[str, str] | None:
        """As :meth:`_on`, for buses that only rare kinds make."""
        maker = next(kind for kind in kinds().values() if kind.provides == what)
        if not self._providers(what) and not self.place(maker):
            return None
        return {"bus": f"{self.rng.choice(self._providers(what)).name}{suffix}"}

    def _ccid(self) -> dict[str, str] | None:
        there = [device for device in self.vm.devices if device.driver == "usb-ccid"]
        if not there and not self.place(kinds()["usb-ccid"]):
            return None
        return {"bus": next(o.name for o in self.vm.devices if o.driver == "usb-ccid") + ".0"}

    def _usb(self, kind: Kind, driver: str) -> dict[str, str] | None:
        place = self._on("usb", ".0")
        if place is None:
            return None
        name = place["bus"].partition(".")[0]
        controller = next(device for device in self.vm.devices if device.name == name)
        fast = kind.name in ("usb-storage", "usb-uas", "usb-kbd", "usb-mouse", "usb-tablet")
        return place if fast or "ehci" not in controller.driver else None

    def _pci(self, kind: Kind, driver: str) -> dict[str, str] | None:
        taken = {dict(device.props).get("bus") for device in self.vm.devices}
        ports = [
            provider.name for provider in self._providers("port-bus") if provider.name not in taken
        ]
        downstream = [device.name for device in self.vm.devices if device.kind == "downstream"]
        ports += [name for name in downstream if name not in taken]
        bridges = [provider.name for provider in self._providers("bridge")]
        hosts = [device.name for device in self.vm.devices if device.kind == "spapr-phb"]
        if ports and self.rng.random() < 0.6:
            return {"bus": self.rng.choice(ports)}
        if bridges and self.rng.random() < 0.4:
            return {"bus": self.rng.choice(bridges), "addr": hex(self.rng.randrange(1, 9))}
        if hosts and self.rng.random() < 0.5:
            return {"bus": f"{self.rng.choice(hosts)}.0"}
        if self.rng.random() < 0.15:
            return {"addr": hex(self.rng.randrange(4, 0x1D))}
        return {}

    def _root_bus(self, kind: Kind, driver: str) -> dict[str, str] | None:
        if driver == "pxb-pcie" and self.vm.family not in _EXPRESS:
            return None
        if driver == "pxb" and self.vm.family in _EXPRESS:
            return None
        return {}

    def _root_complex(self, kind: Kind, driver: str) -> dict[str, str] | None:
        if self.vm.family not in _EXPRESS:
            return None
        number = len(self._providers("port-bus")) + 10
        return {"chassis": str(number), "slot": str(number)}

    def _ide(self, kind: Kind, driver: str) -> dict[str, str] | None:
        controllers = self._providers("ahci")
        if controllers and self.rng.random() < 0.7:
            name = self.rng.choice(controllers).name
            return {"bus": f"{name}.{self.rng.randrange(6)}"}
        if self.pool.arch != "x86_64":
            return self._ide(kind, driver) if self._provider("ahci") else None
        last = 6 if self.vm.family == "pc-q35" else 2
        return {"bus": f"ide.{self.rng.randrange(last)}"}

    def _channel(self) -> dict[str, str]:
        if self.rng.random() < 0.3:
            return {"devno": f"fe.0.{self.rng.randrange(0x1000):04x}"}
        return {}

    def _ipmi(self, kind: Kind, driver: str) -> dict[str, str] | None:
        device = self._provider("ipmi")
        return None if device is None else {"bmc": device.name}

    def _dimm(self, kind: Kind, driver: str) -> dict[str, str] | None:
        amount, _, rest = self.vm.memory.partition(",")
        if "slots" not in rest:
            amount = amount if amount.endswith(("M", "G")) else "256M"
            self.vm = replace(self.vm, memory=f"{amount},slots=4,maxmem=4G")
        if driver == "nvdimm":
            props = with_pair(self.vm.machine_props, "nvdimm", "on")
            self.vm = replace(self.vm, machine_props=props)
        return {}

    def _core(self, kind: Kind, driver: str) -> dict[str, str] | None:
        model = self.vm.cpu.partition(",")[0]
        self.vm = replace(self.vm, smp="1,maxcpus=4,sockets=4,cores=1,threads=1")
        there = sum(device.kind == kind.name for device in self.vm.devices) + 1
        if there > 3:
            return None
        if self.pool.arch not in {"ppc64", "x86_64"}:
            return None
        if self.pool.arch == "ppc64":
            if not model or "_v" not in model:
                model = "power9_v2.0"
                self.vm = replace(self.vm, cpu=model)
            return {"driver": f"{model.lower()}-spapr-cpu-core", "core-id": str(there)}
        name = f"{model or 'qemu64'}-x86_64-cpu"
        return {"driver": name, "socket-id": str(there), "core-id": "0", "thread-id": "0"}

    def _downstream(self, upstream: str) -> None:
        number = len(self.vm.devices) + 20
        props = (("bus", upstream), ("chassis", str(number)), ("slot", str(number)))
        device = Device(
            kind="downstream", driver="xio3130-downstream", name=self._name(), props=props
        )
        self.vm = replace(self.vm, devices=(*self.vm.devices, device))
