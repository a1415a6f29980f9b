"""Refused pairs of which one change of the destination's command line is the remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Case:
    """*fix* is what the first hint's command has and the refused line had not."""

    source: tuple[str, str]
    destination: tuple[str, str]
    rule: str
    fix: str = ""
    without: str = ""


Q35, PC = "-M pc-q35-5.2 -m 64", "-M pc-i440fx-5.2 -m 64"
PSERIES = "-M pseries-5.2 -m 256"
ROOT_PORT = '{"driver":"pcie-root-port","id":"pci.1","bus":"pcie.0","addr":"0x4","chassis":1}'
PORT = "-M pc-q35-5.1 -m 64 -device pcie-root-port,id=p,addr=4"
SOCKETS, CORE = "-smp 1,sockets=4,maxcpus=4", "core-id=0,thread-id=0"
CASES = {
    "no-hpet": Case(
        source=("7.2", "-M pc-q35-7.2 -m 64 -no-hpet"),
        destination=("10.0", "-M pc-q35-7.2 -m 64 -no-hpet"),
        rule="destination-start",
        fix="pc-q35-7.2,hpet=off",
    ),
    "no-acpi": Case(
        source=("7.2", "-M pc-i440fx-7.2 -m 64 -no-acpi"),
        destination=("10.0", "-M pc-i440fx-7.2 -m 64 -no-acpi"),
        rule="destination-start",
        fix="pc-i440fx-7.2,acpi=off",
    ),
    "soundhw": Case(
        source=("5.2", "-M pc-i440fx-5.2 -m 64 -soundhw ac97"),
        destination=("10.0", "-M pc-i440fx-5.2 -m 64 -soundhw ac97"),
        rule="destination-start",
        fix="-audio driver=none,model=ac97",
    ),
    "cpu": Case(
        source=("5.2", f"{PSERIES} -cpu POWER9"),
        destination=("10.0", f"{PSERIES} -cpu POWER9"),
        rule="cpu-identity",
        fix="-cpu power9_v2.0",
    ),
    "ic-mode": Case(
        source=("5.2", f"{PSERIES} -cpu power9_v2.0"),
        destination=("10.0", "-M pseries-5.2,ic-mode=xics -m 256 -cpu power9_v2.0"),
        rule="unknown-section",
        fix="pseries-5.2,ic-mode=dual",
    ),
    "capability": Case(
        source=("5.2", f"{PSERIES} -cpu power9_v2.0"),
        destination=("10.0", "-M pseries-5.2,cap-large-decr=off -m 256 -cpu power9_v2.0"),
        rule="capability-higher",
        fix="cap-large-decr=on",
    ),
    "memory": Case(
        source=("5.2", "-M pc-q35-5.2 -m 96"),
        destination=("10.0", Q35),
        rule="ram-block-size",
        fix="-m 96M",
    ),
    "missing": Case(
        source=("5.2", f"{Q35} -device i6300esb,addr=7"),
        destination=("10.0", Q35),
        rule="unknown-section",
        fix="-device i6300esb,id=at-07-0,bus=pcie.0,addr=0x7",
    ),
    "surplus": Case(
        source=("5.2", Q35),
        destination=("10.0", f"{Q35} -device nvme,id=n,serial=1 -device pci-ohci"),
        rule="not-migratable",
        without="nvme",
    ),
    "property": Case(
        source=("5.2", f"{PC} -device qemu-xhci,id=x"),
        destination=("7.2", f"{PC} -device qemu-xhci,id=x,p2=9"),
        rule="section-footer",
        without="p2=9",
    ),
    "ports": Case(
        source=("5.2", f"{PC} -device qemu-xhci,id=x,p2=13"),
        destination=("7.2", f"{PC} -device qemu-xhci,id=x"),
        rule="section-footer",
        fix="p2=13",
    ),
    "place": Case(
        source=("7.2", f"{PC} -device virtio-rng-pci,id=r -device e1000,id=n"),
        destination=("7.2", f"{PC} -device e1000,id=n -device virtio-rng-pci,id=r"),
        rule="ram-block-unknown",
        fix="virtio-rng-pci,id=r,addr=0x2",
    ),
    "machine": Case(
        source=("5.2", Q35),
        destination=("10.0", "-M pc-q35-6.2 -m 64"),
        rule="machine-type",
        fix="-M pc-q35-5.2",
    ),
    "rom": Case(
        source=("5.2", f"{Q35} -device e1000,id=n"),
        destination=("10.0", f"{Q35} -device e1000,id=n,romsize=524288"),
        rule="ram-block-size",
        without="romsize",
    ),
    "ats": Case(  # 5.2 sets the bit for every machine type (QEMU d83f46d189)
        source=("5.2", f"{PORT} -device virtio-net-pci,bus=p,ats=on"),
        destination=("10.0", f"{PORT} -device virtio-net-pci,bus=p,ats=on"),
        rule="pci-config",
        fix="x-ats-page-aligned=on",
    ),
    "old-msi-address": Case(
        source=("5.2", f"{PC} -device ich9-intel-hda,addr=5,old_msi_addr=on"),
        destination=("10.0", f"{PC} -device ich9-intel-hda,addr=5"),
        rule="pci-config",
        fix="old_msi_addr=on",
    ),
    "maxcpus-q35": Case(
        source=("11.1", "-M pc-q35-10.0 -m 64 -smp 2,maxcpus=8"),
        destination=("11.1", "-M pc-q35-10.0 -m 64 -smp 2"),
        rule="section-footer",
        fix="-smp 2,maxcpus=8",
    ),
    "maxcpus-pc": Case(
        source=("11.1", "-M pc-i440fx-10.0 -m 64 -smp 2"),
        destination=("11.1", "-M pc-i440fx-10.0 -m 64 -smp 2,maxcpus=4"),
        rule="section-footer",
        without="maxcpus",
    ),
    "maxcpus-pseries": Case(
        source=("5.2", f"{PSERIES} -smp 1,maxcpus=4 -cpu power9_v2.0"),
        destination=("10.0", f"{PSERIES} -smp 1 -cpu power9_v2.0"),
        rule="section-footer",
        fix="-smp 1,maxcpus=4",
    ),
    "plugged-cpu-q35": Case(
        source=("5.2", f"{Q35} {SOCKETS} -device qemu64-x86_64-cpu,socket-id=2,{CORE}"),
        destination=("10.0", f"{Q35} {SOCKETS}"),
        rule="unknown-section",
        fix="-device qemu64-x86_64-cpu,core-id=0,thread-id=0,socket-id=2",
    ),
    "plugged-cpus-pseries": Case(  # the order counts: xive-tctx is numbered as they come
        source=(
            "5.2",
            f"{PSERIES} -smp 2,maxcpus=8 -cpu power9_v2.0"
            " -device power9_v2.0-spapr-cpu-core,core-id=5"
            " -device power9_v2.0-spapr-cpu-core,core-id=3",
        ),
        destination=("10.0", f"{PSERIES} -smp 2,maxcpus=8 -cpu power9_v2.0"),
        rule="unknown-section",
        fix="core-id=5 -device power9_v2.0-spapr-cpu-core,core-id=3",
    ),
    "program-of-32-bits": Case(
        source=("7.2", "qemu-system-i386 -M pc-q35-7.2 -m 64"),
        destination=("7.2", "-M pc-q35-7.2 -m 64"),
        rule="section-footer",
        fix="qemu-system-i386",
    ),
    "program-of-64-bits": Case(
        source=("7.2", "-M pc-q35-7.2 -m 64"),
        destination=("10.0", "qemu-system-i386 -M pc-q35-7.2 -m 64"),
        rule="section-footer",
        fix="qemu-system-x86_64",
    ),
    "plugged-memory": Case(
        source=(
            "5.2",
            f"{Q35},slots=2,maxmem=1G -object memory-backend-ram,id=hp_mem0,size=64M"
            " -device pc-dimm,memdev=hp_mem0",
        ),
        destination=("10.0", f"{Q35},slots=2,maxmem=1G"),
        rule="ram-block-unknown",
        fix="-device pc-dimm,memdev=hp_mem0",
    ),
    "mac": Case(  # e1000e makes its serial number of it
        source=("5.2", f"{Q35} -device e1000e,addr=5,mac=52:54:00:12:34:99"),
        destination=("10.0", f"{Q35} -device e1000e,addr=5"),
        rule="pci-config",
        fix="mac=52:54:00:12:34:99",
    ),
    "another-driver-elsewhere": Case(  # of balloons a machine takes one
        source=("5.2", f"{Q35} -device virtio-balloon-pci,id=b,addr=3"),
        destination=("10.0", f"{Q35} -device virtio-balloon-pci-non-transitional,id=b,addr=9"),
        rule="unknown-section",
        fix="-device virtio-balloon-pci,id=b,addr=0x3",
    ),
    "order": Case(  # what stays where it is stands on the line before what moves
        source=(
            "10.0",
            f"{PC} -device bochs-display -device tulip -device virtio-balloon-pci-transitional",
        ),
        destination=(
            "10.0",
            f"{PC} -device virtio-balloon-pci-transitional -device tulip -device bochs-display",
        ),
        rule="ram-block-unknown",
        fix="-device tulip,addr=0x3 -device bochs-display,addr=0x2",
    ),
    "firmware": Case(  # microvm's was 64 KiB without PCI, and is 128
        source=("5.2", "-M microvm -m 64 -accel tcg"),
        destination=("10.0", "-M microvm -m 64 -accel tcg"),
        rule="ram-block-size",
        fix="-bios qboot.rom",
    ),
    "transports": Case(  # 8, and since the second I/O APIC 24
        source=("5.2", "-M microvm -m 64 -accel tcg -device virtio-scsi-device"),
        destination=("7.2", "-M microvm -m 64 -accel tcg -device virtio-scsi-device"),
        rule="unknown-section",
        fix="ioapic2=off",
    ),
    "port-with-backend": Case(
        source=("10.0", "-M microvm -m 64 -chardev null,id=c -device isa-parallel,chardev=c"),
        destination=("10.0", "-M microvm -m 64"),
        rule="unknown-section",
        fix="-device isa-parallel,chardev=at-parallel_isa-0",
    ),
    "section-of-its-own": Case(  # of no device class
        source=("7.2", "-M microvm -m 64 -device isa-ide"),
        destination=("7.2", "-M microvm -m 64"),
        rule="unknown-section",
        fix="-device isa-ide",
    ),
    "json": Case(  # a plain device would come before the port that is its bus
        source=(
            "7.2",
            f"{Q35} -device {ROOT_PORT} -device"
            ' {"driver":"virtio-serial-pci","bus":"pci.1","addr":"0x0"}',
        ),
        destination=("7.2", f"{Q35} -device {ROOT_PORT}"),
        rule="pci-config",
        fix='"bus":"pci.1","addr":"0x0"}',
    ),
    "missing-port": Case(
        source=(
            "7.2",
            f"{Q35} -device virtio-serial-pci,id=v -chardev null,id=c"
            " -device virtserialport,bus=v.0,nr=2,chardev=c",
        ),
        destination=("7.2", f"{Q35} -device virtio-serial-pci,id=v"),
        rule="field-equal",
        fix="virtserialport,bus=v.0,nr=2",
    ),
    "main-backend": Case(
        source=(
            "7.2",
            f"{Q35} -object memory-backend-ram,id=n0,size=64M -numa node,nodeid=0,memdev=n0",
        ),
        destination=(
            "7.2",
            f"{Q35} -machine memory-backend=pcram -object memory-backend-ram,id=pcram,size=64M",
        ),
        rule="ram-block-unknown",
        fix="memory-backend=n0",
    ),
    "class": Case(
        source=("10.0", f"{Q35} -device virtio-iommu-pci,class=1"),
        destination=("10.0", f"{Q35} -device virtio-iommu-pci"),
        rule="pci-config",
        fix="class=0x1",
    ),
    "start-properties": Case(  # each is named only when the one before it is gone
        source=("7.2", f"{PC} -device vmware-svga -device ich9-ahci"),
        destination=(
            "7.2",
            f"{PC} -global ich9-ahci.x-pcie-ext-tag=on -device vmware-svga,x-pcie-ext-tag=on"
            " -device ich9-ahci,x-pcie-ext-tag=on",
        ),
        rule="destination-start",
        fix="-device vmware-svga -device ich9-ahci",
        without="x-pcie-ext-tag",
    ),
    "start": Case(
        source=("5.2", f"{Q35} -device qemu-xhci,id=x -device usb-kbd,bus=x.0"),
        destination=("10.0", f"{Q35} -device usb-kbd,bus=x.0 -device qemu-xhci,id=x"),
        rule="destination-start",
        fix="-device qemu-xhci,id=x -device usb-kbd,bus=x.0",
    ),
    "start-property": Case(
        source=("5.2", f"{Q35} -cpu qemu64"),
        destination=("10.0", f"{Q35} -cpu qemu64,no-such-feature=on"),
        rule="destination-start",
        without="no-such-feature",
    ),
}
