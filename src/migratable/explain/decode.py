"""Numbers in QEMU's messages as what they stand for: features, registers, instances, errnos."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from migratable.facts import pci, virtio
from migratable.messages.catalogue import load_toml
from migratable.messages.setting import HERE

_BRIDGES = re.compile(r"root-port|bridge|ioh-3240|xio3130|/rp$|pcie-pci")

_CAPABILITY_LEVELS = {
    "cfpc": ("broken", "workaround", "fixed"),
    "sbbc": ("broken", "workaround", "fixed"),
    "ibs": ("broken", "workaround", "fixed-ibs", "fixed-ccd", "fixed-na"),
}
_CAPABILITIES = {
    "htm": "Hardware Transactional Memory",
    "vsx": "Vector Scalar Extensions",
    "dfp": "Decimal Floating Point",
    "cfpc": "Cache Flush on Privilege Change (Meltdown)",
    "sbbc": "Speculation Barrier Bounds Checking (Spectre v1)",
    "ibs": "Indirect Branch Speculation (Spectre v2)",
    "hpt-max-page-size": "largest page of hash page table guests",
    "nested-hv": "nested KVM",
    "large-decr": "large decrementer",
    "ccf-assist": "count cache flush assist",
    "fwnmi": "firmware-assisted machine check handling",
    "rpt-invalidate": "H_RPT_INVALIDATE",
    "ail-mode-3": "alternate interrupt location mode 3",
    "nested-papr": "nested KVM (PAPR interface)",
    "dawr1": "second data address watchpoint register",
    "xics": "the XICS interrupt controller (a patched build of 2019)",
    "xive": "the XIVE interrupt controller (a patched build of 2019)",
}


# Model-specific registers that KVM refuses in practice: first, last, what they are.
_MSRS = (
    (0x10, 0x10, "the time stamp counter"),
    (0x3B, 0x3B, "TSC_ADJUST"),
    (0x48, 0x48, "SPEC_CTRL (speculation control; microcode and kernel)"),
    (0xE1, 0xE1, "UMWAIT_CONTROL (feature waitpkg)"),
    (0x10A, 0x10A, "ARCH_CAPABILITIES (mitigations; microcode and kernel)"),
    (0x122, 0x122, "TSX_CTRL (features hle, rtm)"),
    (0x174, 0x176, "SYSENTER; a protected (TDX, SEV) guest keeps it to itself"),
    (0x186, 0x189, "a performance counter's event (the virtual PMU)"),
    (0x1C4, 0x1C5, "XFD (feature amx)"),
    (0x1D9, 0x1D9, "DEBUGCTL"),
    (0x309, 0x30B, "a fixed performance counter (the virtual PMU)"),
    (0x345, 0x345, "PERF_CAPABILITIES (feature pdcm, the virtual PMU)"),
    (0x38D, 0x390, "control of the performance counters (the virtual PMU)"),
    (0x3F1, 0x3F1, "PEBS_ENABLE (the virtual PMU)"),
    (0x480, 0x491, "a VMX capability (nested virtualization, features vmx-…)"),
    (0x570, 0x57F, "Processor Trace"),
    (
        0x200,
        0x20F,
        "an MTRR (memory range type): its width is the host's number of physical "
        "address bits, so the hosts' CPUs differ there (phys-bits, host-phys-bits)",
    ),
    (0xD90, 0xD90, "BNDCFGS (feature mpx)"),
    (0xDA0, 0xDA0, "XSS (feature xsaves)"),
    (0x40000000, 0x400001FF, "a Hyper-V enlightenment (hv_…)"),
    (0x4B564D00, 0x4B564DFF, "a paravirtual feature of KVM (kvmclock, asyncpf, steal time …)"),
    (0xC0000080, 0xC0000080, "EFER"),
    (0xC0000102, 0xC0000103, "KERNEL_GS_BASE or TSC_AUX (feature rdtscp)"),
    (0xC0000104, 0xC0000104, "AMD's TSC_RATIO (features tsc-scale, svm: nested virtualization)"),
    (0xC0010015, 0xC0010015, "AMD's HWCR"),
    (0xC0010117, 0xC0010117, "AMD's VM_HSAVE_PA (nested virtualization)"),
    (0xC0010200, 0xC001020B, "AMD's performance counters (feature perfctr-core)"),
)


def msr(number: int) -> str:
    """What an x86 model-specific register is for, "" when not known."""
    return next((what for first, last, what in _MSRS if first <= number <= last), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureBit:
    """A virtio feature bit.

    :ivar name: as in the virtio specification, without prefix; ``bit 41`` when unknown.
    :ivar since: who brought it, in words; "" when older than QEMU 2.12.
    :ivar option: the device option that turns it off, "" when there is none.
    """

    bit: int
    name: str
    since: str = ""
    option: str = ""
    note: str = ""


def virtio_kind(device: str) -> str:
    """``net`` for ``0000:00:01.0/virtio-net`` and the like; "" when it cannot be told."""
    name = device.rsplit("/", 1)[-1].removeprefix("vhost-user-").removeprefix("virtio-")
    name = name.removeprefix("vhost_").removeprefix("vhost-").removesuffix("-device")
    aliases = {"serial": "console", "blk-pci": "blk", "net-pci": "net", "user-fs": "fs"}
    name = aliases.get(name, name)
    for kind in virtio.table():
        if kind != "common" and (name == kind or name.startswith(f"{kind}-")):
            return kind
    return ""


def virtio_kind_of(mask: int) -> str:
    """The only kind of device all of whose bits in *mask* are defined; "" when there are several.

    Bits that belong to the transport say nothing.
    """
    table = virtio.table()
    own = [str(bit) for bit in range(mask.bit_length()) if mask >> bit & 1]
    own = [bit for bit in own if bit not in table["common"]]
    kinds = [
        kind
        for kind, bits in table.items()
        if kind != "common" and own and all(bit in bits for bit in own)
    ]
    return kinds[0] if len(kinds) == 1 else ""


def feature_bits(mask: int, kind: str) -> list[FeatureBit]:
    """The bits set in *mask*, for a device of *kind* (see :func:`virtio_kind`)."""
    found = []
    for bit, entry in virtio.entries(kind, mask):
        if not entry:
            found.append(FeatureBit(bit=bit, name=f"bit {bit}"))
            continue
        since = []
        if "qemu" in entry:
            brought = entry["qemu"]
            since.append(
                f"found in QEMU {brought[3:]}, not in the release read before it"
                if brought.startswith("in ")
                else f"QEMU {brought}"
            )
        if "linux" in entry:
            since.append(f"host kernel Linux {entry['linux']}")
        found.append(
            FeatureBit(
                bit=bit,
                name=entry["name"],
                since=" and ".join(since),
                option=entry.get("option", ""),
                note=entry.get("note", ""),
            )
        )
    return found


def pci_register(offset: int, device: str = "") -> str:
    """Name of the configuration register at *offset*; bridges have another layout than devices."""
    if offset < 0x40:
        place = pci.in_header(offset, bridge=bool(_BRIDGES.search(device)))
        if place is None:
            return "a reserved byte of the header"
        return f"{place}{'' if device or offset < 0x10 or offset >= 0x34 else _OF_A_DEVICE}"
    if offset < pci.EXTENDED_FROM:
        return (
            "a byte of a capability structure (MSI, MSI-X, PCI Express, vendor); which one "
            "depends on the device's capability list"
        )
    return "the extended configuration space of PCI Express (AER from 0x100, ACS, ARI …)"


_OF_A_DEVICE = " (of a device; a bridge has other registers here)"
# Devices of which one QEMU device is one section's name, whose vectors follow from its queues:
# vectors that are no queue's (configuration, control, event, high priority).
# hw/virtio/virtio-blk-pci.c, virtio-scsi-pci.c, virtio-net-pci.c, vhost-user-fs-pci.c:
# …_pci_realize(), DEV_NVECTORS_UNSPECIFIED.
_VECTORS = {"virtio-blk": 1, "virtio-scsi": 3, "virtio-net": 2, "vhost-user-fs": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class PciByte:
    """What a byte of a configuration space is, in a device of QEMU.

    :ivar place: its register; None when QEMU's devices differ there, or none has it.
    :ivar devices: those that have it there, "" for any.
    """

    place: pci.Place | None
    devices: str


def pci_byte(
    offset: int, device: str, masks: tuple[int, int, int] | None, release: str = ""
) -> PciByte:
    """The register at *offset* by the layouts of QEMU's own devices.

    :param device: the section's name, "" when the log does not have it.
    :param masks: cmask, wmask and w1cmask of the byte, None when they were not printed.
    :param release: QEMU's, as ``major.minor``; "" when the log does not name it.
    """
    if offset < 0x40:
        return PciByte(place=None, devices="")
    found = pci.places(offset, device, release)
    if masks is not None and offset >= pci.EXTENDED_FROM and not masks[1] and not masks[2]:
        # A status bit of AER is one that the guest clears by writing 1, its masks can be written.
        ats = pci.in_capability(offset, [(0x0F, pci.EXTENDED_FROM)])
        if ats is not None and ats.register == "ATS capabilities":
            return PciByte(place=ats, devices="a virtio device with ats=on")
    registers = {(place.kind, place.register, place.byte) for place in found}
    if len(registers) != 1 or not device:
        return PciByte(place=None, devices="")
    place, layouts = next(iter(found.items()))
    names = dict.fromkeys(name for layout in layouts for name in layout.devices)
    return PciByte(place=place, devices=" or ".join(names) if len(names) < 4 else "")


def pci_vectors(device: str, place: pci.Place, read: int, local: int) -> str:
    """What another size of the MSI-X table says of a virtio device's queues, "" of others."""
    short = device.rpartition("/")[2]
    if place.register != "MSI-X table size" or place.byte or short not in _VECTORS:
        return ""
    source, destination = (value + 1 - _VECTORS[short] for value in (read, local))
    if min(source, destination) < 1:
        return ""
    if short == "virtio-net":
        source, destination = source // 2, destination // 2
        return (
            f"with vectors= unset that is {source} against {destination} pairs of queues "
            "(mq=on, or queues= of the tap)"
        )
    option = "num-queues" if short == "virtio-blk" else "num_queues"
    return (
        f"with vectors= unset that is {source} against {destination} queues ({option}=); from "
        "machine type 5.2 on their number is the number of CPUs unless it is set"
    )


def _bar(low: int) -> str:
    """What the low byte of a BAR says about its region (PCI 3.0, 6.2.5.1)."""
    if low & 1:
        return "I/O ports"
    if not low & 0xF:
        return "none, or plain 32-bit memory"
    return f"{64 if low & 0x6 == 4 else 32}-bit{', prefetchable' if low & 8 else ''} memory"


def explain_pci(offset: int, read: int, local: int, *, masks: tuple[int, int, int] | None) -> str:
    """Which bits of the byte differ, and which of these must not."""
    differing = read ^ local
    if masks is not None:
        cmask, wmask, w1cmask = masks
        differing &= cmask & ~wmask & ~w1cmask
    bits = ", ".join(str(bit) for bit in range(8) if differing >> bit & 1)
    hint = ""
    if 0x10 <= offset < 0x28 and offset % 4 == 0:
        hint = (
            f" {{The source's}} region: {_bar(read)}; {{the destination's}}: {_bar(local)}."
            if differing & 0xF
            else " The low bits of a BAR that must be equal are those that its size leaves fixed: "
            "the region has another size on {the two sides}."
        )
    which = bits or "none"
    return f"stream {read:#04x}, {HERE} {local:#04x}; bits that matter: {which}.{hint}"


def capability_name(name: str) -> str:
    """What a pseries capability (without ``cap-``) is, "" when unknown."""
    return _CAPABILITIES.get(name, "")


def capability_level(name: str, level: int) -> str:
    """A level of a pseries capability as its option would be written."""
    names = _CAPABILITY_LEVELS.get(name)
    if names is not None:
        return names[level] if 0 <= level < len(names) else str(level)
    if name == "hpt-max-page-size" and 0 <= level < 64:
        size = 1 << level
        for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
            if size >> shift:
                return f"{size >> shift} {unit}"
        return f"{size} bytes"
    return {0: "off", 1: "on"}.get(level, str(level))


@cache
def _sections() -> list[tuple[re.Pattern[str], str]]:
    data = load_toml("facts", "sections.toml")
    return [(re.compile(entry["match"]), entry["what"]) for entry in data["section"]]


def section(name: str) -> str:
    """What the section *name* (an idstr) belongs to, in words; "" when unknown."""
    short = name.rsplit("/", 1)[-1]
    what = ""
    for pattern, text in _sections():
        if pattern.fullmatch(name) or pattern.fullmatch(short):
            what = text
            break
    address = re.match(
        r"/?([0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7](?::[0-9a-f]{2}\.[0-7])*)", name
    )
    if address:
        parts = address[1].split(":")
        path = " behind ".join(reversed([":".join(parts[:3]), *parts[3:]]))
        where = f"PCI address {path}"
        return f"{what} at {where}" if what else f"a device at {where}"
    vio = re.match(r"[\w-]+@([0-9a-f]{8})/", name)
    if vio:
        return f"{what} (VIO address 0x{vio[1]})" if what else f"a VIO device, address 0x{vio[1]}"
    return what


_BLOCKS = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"(?:.*/)?(?:qxl\.\w+|\w*vga\w*\.vram|bochs\.\w+|cirrus\w*\.\w+|ati\.\w+)",
         "memory of the display card (<video>, -vga, -device)"),
        (r".*\.rom", "a device's option ROM"),
        (r"(?:pc|isa|mach-virt|virt|system|sysbus)[.-](?:bios|rom|flash\d*)", "the firmware"),
        (r"/rom@.*", "tables that the firmware reads (ACPI, SMBIOS)"),
        (r"(?:/objects/)?(?:ram-node\d+|pc\.ram|mach-virt\.ram|\w+\.ram)",
         "the guest's main memory (-m, or the memory backend of a NUMA node)"),
        (r"(?:/objects/)?mem(?:nvdimm)?\d+|(?:/objects/)?(?:mem)?(?:nv)?dimm\w*\d+",
         "memory that was plugged in (a DIMM: its -object memory-backend-… and -device pc-dimm "
         "or nvdimm with the same ids; libvirt: <memory model='dimm'>)"),
        (r"(?:/objects/)?virtio-?mem\w*|(?:/objects/)?memvirtio\w*\d+", "memory of a virtio-mem"),
        (r".*(?:ivshmem|shmmem).*", "memory that is shared with other guests (ivshmem, <shmem>)"),
        (r"tpm-\w+(?:-cmd)?", "a buffer of the TPM"),
    )
)  # fmt: skip


def ram_block(name: str) -> str:
    """What the RAM block *name* is, in words; "" when unknown."""
    return next((what for pattern, what in _BLOCKS if pattern.fullmatch(name)), "")


def instance(name: str, number: int) -> str:
    """What an instance id stands for, "" when it is only a count."""
    short = name.rsplit("/", 1)[-1]
    if short == "spapr_iommu" and number >= 0x71000000:
        if number >> 31:
            bridge, window = number >> 16 & 0x7FFF, number & 0xFF
            return f"LIOBN {number:#x}: PCI host bridge {bridge}, DMA window {window}"
        return f"LIOBN {number:#x}: a VIO device"
    if short in ("cpu", "cpu_common", "spapr_cpu"):
        return f"CPU {number}"
    if short == "apic":
        return f"APIC id {number}"
    return ""


def size(number: int) -> str:
    """A number of bytes with its unit, exact or not at all."""
    for unit, shift in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if number >= 1 << shift and number % (1 << shift) == 0:
            return f"{number:#x} ({number >> shift} {unit})"
    return f"{number:#x}"
