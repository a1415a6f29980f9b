"""The smallest command line on which a device starts.

What a device needs is told by its bus and by the types of its properties: a disk where it has
``drive``, a memory backend where it has a link to one. A device that needs more than that (a real
PCI function, a daemon at the other end of a socket) does not start, and is said to.
"""

from __future__ import annotations

from collections.abc import Mapping

from migratable.gate.programs import Device

#: What has a bus of this type, as words; buses that every machine has are not here.
CONTROLLERS: Mapping[str, tuple[str, ...]] = {
    "SCSI": ("-device", "virtio-scsi-pci"),
    "usb-bus": ("-device", "qemu-xhci"),
    "HDA": ("-device", "intel-hda"),
    "virtio-serial-bus": ("-device", "virtio-serial-pci"),
    "ccid-bus": ("-device", "qemu-xhci", "-device", "usb-ccid"),
    "nvme-bus": ("-device", "nvme,serial=s1"),
    "sd-bus": ("-device", "sdhci-pci"),
    "ufs-bus": ("-device", "ufs,serial=s1"),
    "IndustryPack": ("-device", "tpci200"),
    "floppy-bus": ("-device", "isa-fdc"),
    "vmbus": ("-device", "vmbus-bridge"),
}

_DRIVE = ("-blockdev", "driver=null-co,node-name=d0,size=67108864,read-zeroes=on")
_BY_NAME: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "drive": ("drive=d0", _DRIVE),
    "chardev": ("chardev=c0", ("-chardev", "null,id=c0")),
    "netdev": ("netdev=n0", ("-netdev", "user,id=n0")),
    "audiodev": ("audiodev=a0", ("-audiodev", "none,id=a0")),
    "fsdev": ("fsdev=f0", ("-fsdev", "synth,id=f0")),
    "mount_tag": ("mount_tag=tag0", ()),
    "chassis_nr": ("chassis_nr=1", ()),
    "master": ("master=on", ()),  # ivshmem: its memory is moved with it
    "tpmdev": (
        "tpmdev=t0",
        ("-chardev", "socket,id=t1,path=/nowhere/swtpm", "-tpmdev", "emulator,id=t0,chardev=t1"),
    ),
}
_BY_TYPE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "link<cryptodev-backend>": ("y0", ("-object", "cryptodev-backend-builtin,id=y0")),
    "link<ipmi-bmc>": ("b0", ("-device", "ipmi-bmc-sim,id=b0")),
    "link<rng-backend>": ("r0", ("-object", "rng-builtin,id=r0")),
    "link<can-bus>": ("can0", ("-object", "can-bus,id=can0")),
}
_MEMORY = "link<memory-backend>"
_SERIAL_WANTED = frozenset({"nvme", "ufs"})

NO_MACHINE_PART = "it plugs into a virtio transport; its -pci form stands for it"


def left_out(device: Device) -> str:
    """Why a device is no VM of its own; empty when it may be one."""
    if device.bus == "virtio-bus":
        return NO_MACHINE_PART
    if device.bus in {"xen-bus", "xen-sysbus"}:
        return "it needs Xen"
    return ""


def words(machine: str, device: Device | None = None) -> tuple[str, ...]:
    """Arguments after the program for a machine with one device more, or as it comes."""
    memory: tuple[str, ...] = ("-m", "256M")
    if device is None:
        return ("-machine", machine, *memory)
    options: list[str] = [device.name]
    before: list[str] = []
    for name, type_ in device.properties.items():
        if name in _BY_NAME:
            option, backend = _BY_NAME[name]
            options.append(option)
            before += backend
        elif type_ in _BY_TYPE:
            identity, backend = _BY_TYPE[type_]
            options.append(f"{name}={identity}")
            if backend[1] not in before:
                before += backend
        elif type_ == _MEMORY and name == "memdev":
            options.append("memdev=m0")
            before += ("-object", "memory-backend-ram,id=m0,size=64M")
            memory = ("-m", "256M,slots=2,maxmem=2G")
    if device.name in _SERIAL_WANTED:
        options.append("serial=s0")
    controller = CONTROLLERS.get(device.bus, ())
    return (
        "-machine",
        machine,
        *memory,
        "-nodefaults",
        *before,
        *controller,
        "-device",
        ",".join(options),
    )
