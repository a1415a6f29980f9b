"""Inert forms of ``-device``: passed-through devices go, files that they name stand in."""

from __future__ import annotations

import re
from pathlib import Path

from migratable.commandline.inert.work import Work
from migratable.commandline.line import Option
from migratable.commandline.option import Fields
from migratable.regular_file import is_regular

_PASSED_THROUGH = re.compile(
    r"vfio-.*|pci-assign|kvm-pci-assign|vhost-user-.*|vhost-vsock.*|vhost-scsi.*|vhost-vdpa.*"
    r"|virtio-input-host.*|ivshmem-doorbell|ivshmem|scsi-generic|u2f-passthru|u2f-emulated"
    r"|sgx-epc|pvrdma|virtio-gpu-rutabaga.*|virtio-vga-rutabaga|x-pci-proxy-dev"
    r"|xen-(?!platform$|pvdevice$).*"
    r"|virtio-gpu-gl.*|virtio-vga-gl|vhost-user|usb-canokey|canokey|ccid-card-emulated"
    r"|spapr-tpm-proxy|hv-syndbg"
)
_WITHOUT_STATE = frozenset({"loader", "guest-loader"})
_GL = re.compile(r"virtio-(gpu|vga)-gl(-pci|-device)?")
_ROM_SIZE = 64 << 10
_LONG_QUEUES = frozenset({"vhost-user", "vhost-vdpa"})
TAP_QUEUE_SIZE = 256
"""``VIRTIO_NET_TX_QUEUE_DEFAULT_SIZE``: a tap's limit (``virtio_net_max_tx_queue_size``)."""


def device(work: Work, option: Option) -> list[Option]:
    """``-device``."""
    fields = option.fields
    driver = fields.get("driver") or ""
    name = fields.get("id") or driver
    if driver in _WITHOUT_STATE:
        files = (fields.get(key) for key in ("file", "kernel", "initrd"))
        if all(is_regular(file) for file in files if file):
            return [option]
        work.note(option, "left out; it only fills memory")
        return []
    if _GL.fullmatch(driver):
        plain = driver.replace("-gl", "")
        work.note(option, f"{plain}; {driver} needs a host display and does not migrate")
        work.skip(f"device {name}: {driver} was examined as {plain}")
        return _with_files(work, option, fields.set("driver", plain))
    if _PASSED_THROUGH.fullmatch(driver):
        if _names_no_backend(work, fields, driver):
            return [option]  # it refuses that itself, before it opens anything
        return _removed(work, option, fields, driver, name)
    if driver == "usb-host":
        kept = {
            key: value
            for key in ("id", "bus", "port", "isobufs", "isobsize")
            if (value := fields.get(key)) is not None
        }
        work.note(option, "a host USB device that exists nowhere")
        work.skip(f"device {name}: state of the host's USB device")
        new = Fields.of(driver, option="device", vendorid="0xffff", productid="0xffff", **kept)
        return [Option(name="device", value=new.text(), index=option.index)]
    if driver == "usb-mtp":  # never migrates, which the loader says; its folder is not looked at
        if Path(fields.get("rootdir") or "").is_absolute():
            fields = fields.set("rootdir", "/").set("readonly", "on")
            work.note(option, "rootdir=/, which QEMU does not read")
        return [option.with_fields(fields)]
    if driver == "scsi-block":
        work.note(option, "scsi-hd; scsi-block needs a real device")
        work.skip(f"device {name}: scsi-block was examined as scsi-hd")
        return _with_files(work, option, fields.set("driver", "scsi-hd"))
    if driver.startswith("virtio-net"):
        fields = _queue_size(work, option, fields, name)
    tcg_without_eim = work.line.wants_kvm and work.accel != "kvm" and work.older_than(8, 0)
    if driver == "intel-iommu" and fields.get("eim") == "on" and tcg_without_eim:
        fields = fields.set("x-buggy-eim", "on")  # else it insists on KVM's interrupt chip
    return _with_files(work, option, fields)


def _queue_size(work: Work, option: Option, fields: Fields, name: str) -> Fields:
    """Only vhost-user and vDPA take transmit queues above 256, which their stand-in refuses."""
    size = fields.get("tx_queue_size") or ""
    if not size.isdigit() or int(size) <= TAP_QUEUE_SIZE:
        return fields
    backends = {
        option.fields.get("id"): option.fields.get("type")
        for option in work.line.options
        if option.name == "netdev"
    }
    if backends.get(fields.get("netdev")) not in _LONG_QUEUES:
        return fields  # the program refuses that itself
    work.note(option, f"tx_queue_size={TAP_QUEUE_SIZE}, the most that the stand-in takes")
    work.skip(f"device {name}: transmit queues of {size} entries were examined with fewer")
    return fields.set("tx_queue_size", str(TAP_QUEUE_SIZE))


_BACKENDS = (
    (re.compile(r"vhost-user-.*|ivshmem-doorbell"), ("chardev",)),
    (re.compile(r"vhost-user-fs.*"), ("tag",)),
    (re.compile(r"vhost-vsock.*"), ("guest-cid",)),
    (re.compile(r"vhost-scsi.*"), ("wwpn",)),
    (re.compile(r"vhost-vdpa.*"), ("vhostdev",)),
    (re.compile(r"virtio-input-host.*"), ("evdev",)),
    (re.compile(r"scsi-generic"), ("drive",)),
    (re.compile(r"vfio-pci(?:-nohotplug)?"), ("host", "sysfsdev", "fd")),
)
"""Members of which a device needs one; without it, it fails before it opens anything.

Source: ``vhost_user_*_realize``, ``vuf_device_realize``, ``vhost_vsock_device_realize``,
``vhost_scsi_realize``, ``virtio_input_host_realize``, ``scsi_generic_realize``, ``vfio_realize``;
5.2 to 10.0.
"""


def _names_no_backend(work: Work, fields: Fields, driver: str) -> bool:
    """Does the device lack the backend that it needs, or name a character device of no line?"""
    wanted = [members for kind, members in _BACKENDS if kind.fullmatch(driver)]
    # Defaults and parts of a property may come from other options of the command line.
    elsewhere = any(f"{driver}." in (option.value or "") for option in work.line.all("global"))
    identity = fields.get("id")
    if identity:
        prefix = f"device.{identity}."
        elsewhere |= any((option.value or "").startswith(prefix) for option in work.line.all("set"))
    if elsewhere:
        return False
    if any(all(fields.get(member) is None for member in members) for members in wanted):
        return True
    if ("chardev",) not in wanted:
        return False
    known = {option.fields.get("id") for option in work.line.all("chardev")}
    return fields.get("chardev") not in known


def _removed(work: Work, option: Option, fields: Fields, driver: str, name: str) -> list[Option]:
    identity = fields.get("id")
    place = fields.get("addr")
    where = f" at {fields.get('bus') or 'its bus'} {place}" if place else ""
    work.skip(f"device {name}{where}: {driver} needs the destination's own hardware or daemon")
    work.removed_devices.add(identity or "")
    if not driver.startswith(("xen-", "virtio-gpu-", "virtio-vga-")):
        work.removed_drivers.append((driver, " ".join(option.words)))
    on_pci = not (
        "ccw" in driver
        or driver.endswith("-device")  # on virtio-mmio
        or driver.startswith(("scsi-", "u2f", "usb", "ccid", "canokey", "sgx-", "xen-"))
    )
    if place is None and on_pci and work.architecture in {"x86_64", "i386", "ppc64", "aarch64", ""}:
        members = {k: v for k in ("id", "bus") if (v := fields.get(k)) is not None}
        work.note(option, "pci-testdev, which keeps its slot and has no state")
        new = Fields.of("pci-testdev", option="device", **members)
        return [Option(name="device", value=new.text(), index=option.index)]
    work.note(option, "left out")
    return []


def _with_files(work: Work, option: Option, fields: Fields) -> list[Option]:
    rom = fields.get("romfile")
    if rom and "/" in rom and not is_regular(rom):
        identity = fields.get("id") or fields.get("driver") or "device"
        size = _rom_size(work, fields.get("driver") or "")
        path = work.private_file(f"rom{len(work.files)}", size)
        fields = fields.set("romfile", str(path))
        work.note(option, f"romfile: {size} bytes of zeros, as {rom} is not on this machine")
        work.skip(f"device {identity}: size of its option ROM {rom}, which is not on this machine")
    if fields == option.fields:
        return [option]
    return [option.with_fields(fields)]


def _rom_size(work: Work, driver: str) -> int:
    """Bytes of an option ROM: from the one block of the incoming stream that ends in DRIVER.rom."""
    found = [size for block, size in work.ram_sizes.items() if block.endswith(f"/{driver}.rom")]
    return found[0] if len(set(found)) == 1 else _ROM_SIZE


def usbdevice(work: Work, option: Option) -> list[Option]:
    """``-usbdevice``: host devices and disks of the old syntax go, the rest stays.

    5.0 and later know none of the former and refuse them.
    """
    value = option.value or ""
    if work.older_than(5, 0) and value.startswith(("host", "disk", "serial", "net", "bt")):
        work.note(option, "left out")
        work.skip(f"-usbdevice {value}: the device was left out")
        return []
    if value.partition(":")[0] == "braille":  # it looks for BrlAPI on the host by itself
        name = f"migratable-braille{option.index}"
        work.note(option, "usb-braille on a null device")
        return [
            Option(name="chardev", value=f"null,id={name}", index=option.index),
            Option(name="device", value=f"usb-braille,chardev={name}", index=option.index),
        ]
    return [option]
