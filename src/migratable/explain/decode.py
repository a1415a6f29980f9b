"""Numbers in QEMU's messages as what they stand for: features, registers, instances, errnos."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from migratable.messages.catalogue import load_toml

# Type 0 and type 1 headers, offset -> (length, name); PCI Local Bus 3.0 and PCI-to-PCI Bridge 1.2.
_HEADER = {
    0x00: (2, "Vendor ID"),
    0x02: (2, "Device ID"),
    0x04: (2, "Command"),
    0x06: (2, "Status (bit 4: a capability list exists)"),
    0x08: (1, "Revision ID"),
    0x09: (3, "Class Code"),
    0x0C: (1, "Cache Line Size"),
    0x0D: (1, "Latency Timer"),
    0x0E: (1, "Header Type (bit 7: multifunction)"),
    0x0F: (1, "BIST"),
    0x34: (1, "Capabilities Pointer"),
    0x3C: (1, "Interrupt Line"),
    0x3D: (1, "Interrupt Pin"),
}
_DEVICE = {
    **{0x10 + 4 * bar: (4, f"BAR {bar}") for bar in range(6)},
    0x28: (4, "CardBus CIS Pointer"),
    0x2C: (2, "Subsystem Vendor ID"),
    0x2E: (2, "Subsystem ID"),
    0x30: (4, "Expansion ROM Base Address"),
    0x3E: (1, "Min_Gnt"),
    0x3F: (1, "Max_Lat"),
}
_BRIDGE = {
    0x10: (4, "BAR 0"),
    0x14: (4, "BAR 1"),
    0x18: (1, "Primary Bus Number"),
    0x19: (1, "Secondary Bus Number"),
    0x1A: (1, "Subordinate Bus Number"),
    0x1B: (1, "Secondary Latency Timer"),
    0x1C: (1, "I/O Base"),
    0x1D: (1, "I/O Limit"),
    0x1E: (2, "Secondary Status"),
    0x20: (2, "Memory Base"),
    0x22: (2, "Memory Limit"),
    0x24: (2, "Prefetchable Memory Base"),
    0x26: (2, "Prefetchable Memory Limit"),
    0x28: (4, "Prefetchable Base Upper 32 Bits"),
    0x2C: (4, "Prefetchable Limit Upper 32 Bits"),
    0x30: (4, "I/O Base and Limit Upper 16 Bits"),
    0x38: (4, "Expansion ROM Base Address"),
    0x3E: (2, "Bridge Control"),
}
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


@cache
def _virtio() -> dict[str, dict[str, dict[str, Any]]]:
    table: dict[str, dict[str, dict[str, Any]]] = load_toml("facts", "virtio.toml")
    return table


def virtio_kind(device: str) -> str:
    """``net`` for ``0000:00:01.0/virtio-net`` and the like; "" when it cannot be told."""
    name = device.rsplit("/", 1)[-1].removeprefix("vhost-user-").removeprefix("virtio-")
    name = name.removeprefix("vhost_").removeprefix("vhost-").removesuffix("-device")
    aliases = {"serial": "console", "blk-pci": "blk", "net-pci": "net", "user-fs": "fs"}
    name = aliases.get(name, name)
    for kind in _virtio():
        if kind != "common" and (name == kind or name.startswith(f"{kind}-")):
            return kind
    return ""


def virtio_kind_of(mask: int) -> str:
    """The only kind of device all of whose bits in *mask* are defined; "" when there are several.

    Bits that belong to the transport say nothing.
    """
    table = _virtio()
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
    table = _virtio()
    own, common = table.get(kind, {}), table["common"]
    found = []
    for bit in range(mask.bit_length()):
        if not mask >> bit & 1:
            continue
        # Bits 24 to 40 belong to the transport, whatever the device.
        entry = common.get(str(bit)) or own.get(str(bit))
        if entry is None:
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
    bridge = bool(_BRIDGES.search(device))
    tables = [_HEADER, _BRIDGE if bridge else _DEVICE]
    for table in tables:
        for start, (length, name) in table.items():
            if start <= offset < start + length:
                byte = f", byte {offset - start}" if length > 1 else ""
                other = ""
                if not device and 0x18 <= offset < 0x40 and table is _DEVICE:
                    other = " (of a device; a bridge has other registers here)"
                return f"{name}{byte}{other}"
    if offset < 0x40:
        return "a reserved byte of the header"
    if virtio_kind(device) and offset in (0x9A, 0x9B):
        return (
            "MSI-X's table size on a conventional bus with virtio 1.0: the number of interrupt "
            "vectors less one"
        )
    if offset < 0x100:
        return (
            "a byte of a capability structure (MSI, MSI-X, PCI Express, vendor); which one "
            "depends on the device's capability list"
        )
    return "the extended configuration space of PCI Express (AER from 0x100, ACS, ARI …)"


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
            f" The source's region: {_bar(read)}; the destination's: {_bar(local)}."
            if differing & 0xF
            else " The low bits of a BAR that must be equal are those that its size leaves fixed: "
            "the region has another size on the two sides."
        )
    which = bits or "none"
    return f"stream {read:#04x}, destination {local:#04x}; bits that matter: {which}.{hint}"


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
