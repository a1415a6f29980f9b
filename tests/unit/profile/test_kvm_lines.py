"""What KVM makes of a command line, without KVM. Each answer was that of real QEMU under KVM."""

from __future__ import annotations

from pathlib import Path

import pytest

from migratable.commandline import parse
from migratable.commandline.inert.inert import inert
from migratable.commandline.kvm import CpuWords, Outlook, has_kvmclock, irqchip, outlook
from migratable.errors import CommandLineError

Q = "qemu-system-x86_64 -accel kvm "

# machine type, -cpu, release: is there a section kvmclock? Measured with 5.2 and 11.1.
CLOCKS = {
    ("pc-i440fx-5.2", "qemu64,kvm=off", (5, 2)): True,
    ("pc-q35-11.1", "base", (11, 1)): True,
    ("pc-i440fx-5.1", "qemu64", (5, 2)): True,
    ("pc-i440fx-5.1", "qemu64,-kvmclock", (5, 2)): False,
    ("pc-i440fx-5.1", "qemu64,kvmclock=off", (5, 2)): False,
    ("pc-i440fx-5.1", "qemu64,kvm=off", (5, 2)): False,
    ("pc-i440fx-5.1", "qemu64,kvm=off,+kvmclock", (5, 2)): False,
    ("pc-q35-4.2", "qemu64,-kvm", (5, 2)): False,
    ("pc-i440fx-5.1", "base", (5, 2)): False,
    ("pc-i440fx-5.1", "base,+kvmclock", (5, 2)): True,
    ("pc-i440fx-5.1", "base,+kvmclock,-kvmclock", (5, 2)): False,
    ("microvm", "qemu64,kvm=off", (5, 2)): True,
    ("isapc", "486", (11, 1)): True,
    ("none", "qemu64", (11, 1)): False,
    ("x-remote", "qemu64", (11, 1)): False,
}


@pytest.mark.parametrize(("machine", "cpu", "release"), CLOCKS)
def test_kvmclock(machine: str, cpu: str, release: tuple[int, int]) -> None:
    line = parse(f"{Q} -M {machine} -cpu {cpu}")
    assert has_kvmclock(line, machine, release) is CLOCKS[machine, cpu, release]


def test_the_last_cpu_option_and_any_spelling() -> None:
    found = CpuWords.of(parse(f"{Q} -cpu max -cpu qemu64,+kvm_asyncpf,x2apic=off,hv_time"))
    assert found.model == "qemu64"
    assert found.get("kvm-asyncpf") is True
    assert found.get("x2apic") is False
    assert list(found.named()) == ["kvm-asyncpf", "hv-time"]


@pytest.mark.parametrize(
    ("options", "machine", "found"),
    [
        ("", "pc-q35-7.2", "on"),
        ("", "pc-q35-4.0", "split"),
        ("", "microvm", "split"),
        ("-M microvm,kernel_irqchip=on", "microvm", "on"),
        ("-M q35,kernel_irqchip=split", "pc-q35-7.2", "split"),
        ("-M q35,kernel-irqchip=off", "pc-q35-7.2", "off"),
        ("-accel kvm,kernel-irqchip=split", "pc-q35-7.2", "split"),
    ],
)
def test_where_the_interrupt_controllers_are(options: str, machine: str, found: str) -> None:
    assert irqchip(parse(Q + options), machine) == found


PROPERTIES = ("kernel-irqchip", "kvm-shadow-mem", "type")


def look(
    options: str,
    release: tuple[int, int],
    *,
    properties: tuple[str, ...] = PROPERTIES,
    has_apic: bool = True,
    cpus: int = 1,
) -> Outlook:
    return outlook(
        parse("qemu-system-x86_64 " + options),
        machine="pc-q35-5.2",
        release=release,
        properties=properties,
        has_apic=has_apic,
        cpus=cpus,
    )


REFUSED = {
    ("-accel kvm,dirty-ring-size=4096", (5, 2)): "-accel kvm,dirty-ring-size=4096: "
    "Property 'kvm-accel.dirty-ring-size' not found",
    ("-accel kvm -icount 1", (7, 2)): "-icount is not allowed with hardware virtualization",
    ("-accel kvm,kernel-irqchip=off", (10, 0)): "KVM does not support userspace APIC",
    ("-accel kvm,kernel-irqchip=off", (7, 2)): None,
    ("-accel kvm -device intel-iommu,intremap=on", (5, 2)): "-device intel-iommu,intremap=on: "
    "Interrupt Remapping cannot work with kernel-irqchip=on, please use 'split|off'.",
    ("-accel kvm -device amd-iommu,intremap=on", (11, 1)): "-device amd-iommu,intremap=on: "
    "Interrupt Remapping cannot work with kernel-irqchip=on, please use 'split|off'.",
    ("-accel kvm,kernel-irqchip=split -device intel-iommu,intremap=on", (11, 1)): None,
    ("-accel kvm -device intel-iommu", (11, 1)): None,
    ("-accel kvm,kernel-irqchip=off -device intel-iommu,eim=on,intremap=on", (7, 2)): "-device "
    "intel-iommu,eim=on,intremap=on: eim=on requires accel=kvm,kernel-irqchip=split",
}


@pytest.mark.parametrize(("options", "release"), REFUSED)
def test_starts_that_need_no_host(options: str, release: tuple[int, int]) -> None:
    said = REFUSED[options, release]
    assert look(options, release).refused == (() if said is None else (said,))


def test_without_an_apic_kvm_needs_none() -> None:
    options = "-accel kvm,kernel-irqchip=off -cpu 486"
    assert look(options, (10, 0), has_apic=False).refused == ()
    assert look(options, (10, 0), has_apic=False, cpus=2).refused != ()


DECIDED_BY_THE_HOST = [
    "-accel kvm -cpu host",
    "-accel kvm -cpu max",
    "-accel kvm -cpu qemu64,enforce",
    "-accel kvm -cpu qemu64,hv_time",
    "-accel kvm -cpu qemu64,lmce=on",
    "-accel kvm -cpu qemu64,tsc-frequency=1000000000",
    "-machine q35,smm=on -accel kvm",
    "-accel kvm,dirty-ring-size=4096",
    "-accel kvm -accel tcg",
    "-machine accel=kvm:tcg",
    "-accel kvm -smp 2,maxcpus=1024",
    "-accel kvm -overcommit cpu-pm=on",
    "-accel kvm,kernel-irqchip=off -cpu 486 -device intel-iommu",
    "-accel kvm -global qemu64-x86_64-cpu.kvm=off",
]


@pytest.mark.parametrize("options", DECIDED_BY_THE_HOST)
def test_what_the_host_decides(options: str) -> None:
    assert look(options, (10, 0), properties=("kernel-irqchip", "dirty-ring-size")).decides


@pytest.mark.parametrize(
    "options",
    [
        "-accel kvm -cpu Haswell,check",
        "-machine q35,smm=auto,accel=kvm",
        "-enable-kvm -cpu qemu64,enforce=off,-hv-time",
        "-accel kvm,kernel-irqchip=split -smp 8",
    ],
)
def test_what_no_host_decides(options: str) -> None:
    assert look(options, (10, 0)).decides == ()


def quiet(text: str) -> list[str]:
    return inert(parse(text), release=None, private_dir=Path("/private")).plain_argv


def test_microvm_has_no_clock_of_its_own_under_kvm() -> None:
    assert "microvm,rtc=off" in quiet(Q + "-M microvm")
    assert "microvm,rtc=off" in quiet(Q + "-M microvm,rtc=auto")
    assert "microvm,rtc=on" in quiet(Q + "-M microvm,rtc=on")
    assert "microvm" in quiet("qemu-system-x86_64 -M microvm")


def test_both_ways_to_name_an_accelerator_are_left_for_qemu_to_refuse() -> None:
    made = quiet("qemu-system-x86_64 -accel tcg,thread=multi -enable-kvm")
    assert "-enable-kvm" in made
    assert "tcg,thread=multi" in made
    assert "-enable-kvm" not in quiet("qemu-system-x86_64 -enable-kvm")


def test_no_file_or_socket_of_the_host_is_named_to_kvm() -> None:
    text = "-accel kvm,device=/etc/shadow,rapl=on,rapl-helper-socket=/run/x,kernel-irqchip=split"
    line = parse(f"qemu-system-x86_64 {text}")
    made = inert(line, release=None, private_dir=Path("/private"), accel="kvm")
    assert "kvm,kernel-irqchip=split" in made.plain_argv
    assert sum("-accel kvm," in one for one in made.unchecked) == 3


@pytest.mark.parametrize("options", ["-M xenfv", "-M xenpv -accel xen", "-accel xen"])
def test_xen_is_not_started(options: str) -> None:
    with pytest.raises(CommandLineError, match="Xen"):
        quiet(f"qemu-system-x86_64 {options}")
