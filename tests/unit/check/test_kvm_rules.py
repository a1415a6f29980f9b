"""What only KVM decides of a PC: interrupts that are lost, registers that it does not take.

Layouts: hw/intc/i8259_common.c, ioapic_common.c, apic_common.c, hw/timer/i8254_common.c.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest

from migratable.check.events import BodyLoaded, RegistersPut, StreamLoaded
from migratable.check.rules import kvm_interrupts, kvm_registers
from migratable.check.state import LoadedState
from migratable.profile.model import Profile
from migratable.stream.cursor import Buffer
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind
from tests.unit.check.bodies import body, profile


def section(idstr: str, data: Buffer, *, instance_id: int = 0, version: int = 3) -> Section:
    return Section(
        kind=SectionKind.FULL,
        section_id=1,
        idstr=idstr,
        instance_id=instance_id,
        version_id=version,
        body=data,
    )


def pic(last_irr: int = 0, imr: int = 0xFE, *, instance_id: int = 0, size: int = 15) -> Section:
    """``vmstate_pic_common``: last_irr, irr, imr …"""
    data = bytes([last_irr, 0, imr]) + bytes(12)
    return section("i8259", data[:size], instance_id=instance_id, version=1)


def ioapic(entry: int, *, version: int = 3, size: int = 206) -> Section:
    """``vmstate_ioapic_common``: id and ioregsel, an unused word since version 2, 24 entries."""
    entries = [1 << 16] * 24
    entries[2] = entry
    data = bytes(6 if version == 1 else 14) + struct.pack(">24Q", *entries)
    return section("ioapic", data[:size], version=version)


def pit(following: int, *, mode: int = 2, disabled: int = 0, version: int = 3) -> Section:
    """``vmstate_pit_common``: channels[0].irq_disabled, then the channels."""
    channel = struct.pack(">iH10Bqq", 65536, 0, 0, 0, 0, 0, 0, 0, 3, mode, 0, 1, 0, following)
    return section("i8254", struct.pack(">i", disabled) + channel + bytes(72), version=version)


def machine(chip: str, *words: str, **more: object) -> Profile:
    line = ("qemu-system-x86_64", "-accel", f"kvm,kernel-irqchip={chip}", *words)
    values = {"accelerator": "kvm", "wants_kvm": True, "command_line": line, **more}
    return profile("10.0.13", "x86_64", machine="pc-q35-5.2", **values)


def interrupts(
    *sections: Section, chip: str = "on", cpus: Sequence[int] = (), to: Profile | None = None
) -> list[str]:
    event = StreamLoaded(
        release=(10, 0),
        profile=to or machine(chip),
        sections=sections,
        cpus=[body("cpu", {"env.mp_state": state}) for state in cpus],
    )
    problems = list(kvm_interrupts.check(event))
    assert not any(problem.refuses for problem in problems)
    return [problem.summary for problem in problems]


# processors that were not started


def apic(waits: int | None, *, size: int | None = None) -> Section:
    """``apic_sipi``: sipi_vector, wait_for_sipi; not sent when it does not wait."""
    sent = b"" if waits is None else b"\x05\x09apic_sipi" + struct.pack(">Iii", 1, 9, waits)
    return section("apic", (bytes(200) + sent)[:size])


@pytest.mark.parametrize(
    ("apics", "states", "waiting"),
    [
        ([apic(1), apic(1), apic(1)], [0, 0, 0], 2),  # the first one boots
        ([apic(1), apic(1), apic(0)], [0, 0, 0], 1),
        ([apic(1), apic(None)], [0, 0], 0),
        ([apic(1), apic(1)], [0, 3], 0),  # halted is a state that KVM keeps
        ([apic(1), apic(2)], [0, 0], 0),
        ([apic(1), apic(1, size=222)], [0, 0], 0),  # cut
        ([apic(1), apic(1), apic(1)], [0, 0], 1),  # of the last no state was loaded
    ],
)
def test_processors_that_wait(apics: list[Section], states: list[int], waiting: int) -> None:
    found = interrupts(*apics, cpus=states)
    assert len(found) == (1 if waiting else 0)
    if waiting:
        assert found[0].startswith(f"{waiting} of the guest's {len(apics)} processors were not")
    assert interrupts(*apics, cpus=states, chip="off") == []
    assert (
        interrupts(*apics, cpus=states, to=machine("on", accelerator="tcg", wants_kvm=False)) == []
    )


# the PIT


@pytest.mark.parametrize(
    ("sections", "high"),
    [
        ([pic(1)], True),
        ([pic(3)], True),
        ([pic(2)], False),
        ([pic(1, imr=0xFF)], False),  # IRQ 0 is masked: the guest does not take it
        ([pic(1, imr=0xFF), ioapic(0)], True),
        ([pic(1, imr=0xFF), ioapic(1 << 16)], False),
        ([pic(1, imr=0xFF), ioapic(0, version=1)], False),
        ([pic(1, imr=0xFF), ioapic(0, version=2)], True),
        ([pic(1, imr=0xFF), ioapic(0, size=37)], False),
        ([pic(1, imr=0xFF), ioapic(0, size=38)], True),
        ([pic(1, size=2)], False),
        ([pic(1, size=3)], True),
        ([pic(0), pic(1, instance_id=1)], False),  # the slave's first is IRQ 8
        ([pic(1, imr=0xFF), pic(0, instance_id=1)], False),
        ([pic(1, imr=0xFF), section("other", bytes(206))], False),
        ([section("i8259", b""), ioapic(0)], False),
    ],
)
def test_a_clock_that_is_high(sections: list[Section], high: bool) -> None:
    """hw/intc/i8259.c: pic_set_irq: an edge is seen where last_irr was low."""
    found = interrupts(*sections)
    assert [text.partition(",")[0] for text in found] == (
        ["the clock interrupt (IRQ 0) is high"] if high else []
    )
    assert interrupts(*sections, chip="split") == []
    discards = machine("on", "-global", "kvm-pit.lost_tick_policy=discard")
    assert interrupts(*sections, to=discards) == []


@pytest.mark.parametrize(
    ("timer", "silent"),
    [
        (pit(-1), True),
        (pit(-1, mode=3), True),
        (pit(-1, mode=1), False),
        (pit(-1, mode=4), False),
        (pit(0), False),
        (pit(1000), False),
        (pit(-1, disabled=1), False),  # the HPET has taken its place
        (pit(-1, version=2), False),
        (section("i8254", bytes(35)), False),
        (section("i8254", pit(-1).body[:36]), True),
        (section("timer", pit(-1).body), False),
    ],
)
def test_a_pit_that_does_not_say_when_it_fires(timer: Section, silent: bool) -> None:
    """hw/i386/kvm/i8254.c has no next_transition_time; hw/timer/i8254.c starts no timer by -1."""
    for chip, fires_no_more in (("split", silent), ("off", silent), ("on", False)):
        found = interrupts(section("i8254", b""), timer, pic(0), chip=chip)
        assert [text.startswith("the source had the PIT in the kernel") for text in found] == (
            [True] if fires_no_more else []
        )
    assert interrupts(timer, pic(0, imr=0xFF), chip="split") == []


# registers


def base(value: int | None, to: Profile) -> list[dict[str, str | int]]:
    """Where the program aborts."""
    state = body("apic", {} if value is None else {"apicbase": value})
    release = to.version.release
    event = BodyLoaded(release=release, body=state, idstr="apic", instance_id=0, profile=to)
    problems = list(kvm_registers.check(event))
    assert all(problem.aborts for problem in problems)
    return [dict(problem.words)["kvm-apicbase-assertion"] for problem in problems]


def test_an_apic_in_x2apic_mode() -> None:
    """kvm_put_apicbase asserts what KVM_SET_SREGS refuses: EXTD is bit 10 of MSR 0x1b."""
    x2apic = {"cpuid-input-eax": 1, "cpuid-register": "ECX", "features": 1 << 21}
    assert len(base(0xFEE00D00, machine("on"))) == 1
    assert base(0xFEE00900, machine("on")) == base(None, machine("on")) == []
    assert base(0xFEE00D00, machine("off")) == []
    assert base(0xFEE00D00, machine("on", cpu_features=(x2apic,))) == []
    assert base(0xFEE00D00, machine("on", accelerator="tcg", wants_kvm=False)) == []


ASYNC_PF, ASYNC_PF_INT = 1 << 4, 1 << 14
ENFORCE = ("-cpu", "qemu64,kvm-pv-enforce-cpuid=on")


def put(
    to: Profile,
    *,
    cap: int | None = None,
    ctl: int | None = None,
    own: int | None = 0,
    enabled: int | None = None,
) -> list[tuple[str, dict[str, str | int]]]:
    """The first message of each problem when the registers are put."""

    def cpu(**numbers: int | None) -> LoadedState:
        known = {f"env.{name}": value for name, value in numbers.items() if value is not None}
        page_faults = {} if enabled is None else {"env.async_pf_en_msr": enabled}
        sent = body("cpu/async_pf_msr", page_faults)
        return body("cpu", known, subsections=[sent])

    event = RegistersPut(
        release=to.version.release,
        profile=to,
        cpu=cpu(mcg_cap=cap, mcg_ctl=ctl),
        own_cpu=None if own is None else cpu(mcg_cap=own),
    )
    problems = list(kvm_registers.check(event))
    assert all(problem.aborts for problem in problems)
    return [dict(problem.words[:1]).popitem() for problem in problems]


def paravirtual(features: int, *words: str) -> Profile:
    word = {"cpuid-input-eax": 0x40000001, "cpuid-register": "EAX", "features": features}
    return machine("on", *words, cpu_features=(word,))


def test_machine_check_registers() -> None:
    """Linux set_msr_mce takes MSR 0x17b only where the CPU has MCG_CTL_P."""
    to = machine("on")
    assert put(to, cap=0x100010A, ctl=7) == [("kvm-set-msr", {"msr": 0x17B, "value": 7})]
    assert put(to, cap=0x100010A) == [("kvm-set-msr", {"msr": 0x17B, "value": 0})]
    assert put(to, cap=0) == put(to) == []
    assert put(to, cap=0x100010A, own=0x100010A) == put(to, cap=0x100010A, own=None) == []
    assert put(machine("on", accelerator="tcg", wants_kvm=False), cap=0x100010A) == []


def test_page_faults_by_interrupt() -> None:
    """Linux kvm_pv_enable_async_pf_int: with enforced CPUID bit 3 needs kvm-asyncpf-int."""
    to = paravirtual(ASYNC_PF, *ENFORCE)
    refused = [("kvm-set-msr", {"msr": 0x4B564D02, "value": 9})]
    assert put(to, enabled=9) == refused
    assert put(to, enabled=9, cap=0x100010A) == refused  # it is put before the others
    assert put(to, enabled=1) == put(to, enabled=0) == put(to, enabled=None) == []
    assert put(paravirtual(ASYNC_PF), enabled=9) == []
    assert put(paravirtual(ASYNC_PF | ASYNC_PF_INT, *ENFORCE), enabled=9) == []
    assert put(paravirtual(0, *ENFORCE), enabled=9) == []


@pytest.mark.parametrize(
    ("release", "place"),
    [
        ("5.2.0", ("../../target/i386/kvm.c", 2497, 2701)),
        ("7.2.0", ("../../target/i386/kvm/kvm.c", 2975, 3183)),
        ("10.0.13", ("target/i386/kvm/kvm.c", 3662, 3877)),
        ("11.1.0", ("target/i386/kvm/kvm.c", 3899, 4114)),
    ],
)
def test_where_the_assertion_is(release: str, place: tuple[str, int, int]) -> None:
    """As the lab's programs print it under KVM."""
    to = profile(release, "x86_64", accelerator="kvm", wants_kvm=True)
    event = RegistersPut(
        release=to.version.release,
        profile=to,
        cpu=body("cpu", {"env.mcg_cap": 1}),
        own_cpu=body("cpu", {"env.mcg_cap": 0}),
    )
    (problem,) = kvm_registers.check(event)
    name, words = problem.words[-1]
    file, of_apic, of_msrs = place
    assert (name, words) == ("kvm-msr-assertion", {"file": file, "line": of_msrs})
    assert base(0xFEE00D00, to) == [{"file": file, "line": of_apic}]
