"""The guest loads, then loses processors or its clock interrupt: KVM's irqchip kinds differ.

## What it checks

KVM has the interrupt controllers and the PIT in the kernel (`kernel-irqchip=on`), the APIC alone
(`split`), or nothing (`off`, as TCG). Each kind loads the state of the others without a message,
but in three cases the guest then hangs:

* secondary processors that were not started yet, on a source with the APIC in QEMU (TCG,
  `kernel-irqchip=off`): their state says "runnable", and under KVM they run at once from the reset
  vector;
* a clock interrupt (IRQ 0) that is high in the master PIC, and a destination with the PIT in the
  kernel: the PIT waits for an acknowledgement that was given on the source, and sends no other;
* a PIT in the kernel, which does not save its next expiry, and a destination with the PIT in
  QEMU: its timer is never set.

The last two apply to guests that use IRQ 0, at the PIC or the I/O APIC.

## Why QEMU says nothing

No loader checks these fields. The fault shows when the guest runs: `internal-error` (KVM cannot
emulate the code at the reset vector), or a guest that hangs.

## How to fix it

* Processors not started: migrate when the guest's firmware or kernel has started them (seconds).
* PIT into the kernel: `-global kvm-pit.lost_tick_policy=discard` on the destination; the guest then
  runs on.
* PIT out of the kernel: start the destination with the source's `kernel-irqchip`.

`migratable rehearse --alive` on the destination's host, with the guest's RAM, shows it.

## Source

`hw/i386/kvm/apic.c`, `target/i386/kvm/kvm.c: kvm_put_mp_state`; `hw/i386/kvm/i8254.c: kvm_pit_get`
(no `next_transition_time`); `hw/timer/i8254.c: pit_post_load`; Linux `arch/x86/kvm/i8254.c:
kvm_pit_ack_irq, pit_do_work`. Seen on real KVM with 5.2, 7.2, 10.0 and 11.1: 10 of 14, 30 of 30 and
7 of 7 such guests failed, and none of 301 others.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence

from migratable.check import kvm
from migratable.check.events import StreamLoaded
from migratable.check.problem import Problem
from migratable.check.rule import Rule, loads, refuses
from migratable.check.state import LoadedState
from migratable.messages import Fault
from migratable.profile.model import Profile
from migratable.profile.tables import Vmsd
from migratable.releases import QemuVersion
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind
from migratable.verdict import Severity

#: ``apic_sipi``: version, sipi_vector and a wait_for_sipi of 1.
_WAITS = re.compile(rb"\x05\x09apic_sipi.{8}\x00\x00\x00\x01", re.DOTALL)
_PERIODIC = frozenset({2, 3})
_REDIRECTION = 14
_MASKED = 1 << 16


def check(event: StreamLoaded) -> Iterator[Problem]:
    """Ask about each of the three."""
    profile = event.profile
    if not kvm.under_kvm(profile):
        return
    if kvm.has_own_apic(profile):
        yield from _not_started(event)
    if not _takes_clock(event.sections):
        return
    if kvm.has_own_pit(profile):
        yield from _high(event)
    else:
        yield from _no_timer(event)


def _found(summary: str, explanation: str, device: str) -> Problem:
    return Problem(
        rule="kvm-interrupts",
        refuses=False,
        severity=Severity.ENDANGERS,
        summary=summary,
        explanation=explanation,
        device=device,
    )


def _not_started(event: StreamLoaded) -> Iterator[Problem]:
    apics = [one for one in event.sections if one.idstr == "apic"]
    waiting = sum(
        _waits(apic) and cpu.number("env.mp_state") == 0
        for apic, cpu in list(zip(apics, event.cpus, strict=False))[1:]
    )
    if waiting:
        yield _found(
            f"{waiting} of the guest's {len(apics)} processors were not started yet, and the "
            "source had the APIC in QEMU: under KVM they run at once",
            "QEMU loads the guest, which then usually stops with an internal error. Migrate "
            "when the guest's firmware or kernel has started its processors.",
            "cpu",
        )


def _waits(apic: Section) -> bool:
    return _WAITS.search(apic.body) is not None


def _takes_clock(sections: Sequence[Section]) -> bool:
    """Does the guest take IRQ 0: at the master PIC, or at pin 2 of the I/O APIC?"""
    for one in sections:
        body = bytes(one.body)
        if one.idstr == "i8259" and one.instance_id == 0 and len(body) > 2 and not body[2] & 1:
            return True
        if one.idstr == "ioapic" and one.version_id >= 2:
            entry = body[_REDIRECTION + 16 : _REDIRECTION + 24]
            if len(entry) == 8 and not int.from_bytes(entry, "big") & _MASKED:
                return True
    return False


def _high(event: StreamLoaded) -> Iterator[Problem]:
    if kvm.discards_ticks(event.profile):
        return
    for one in event.sections:
        master = one.idstr == "i8259" and one.instance_id == 0
        if master and len(one.body) and bytes(one.body)[0] & 1:
            yield _found(
                "the clock interrupt (IRQ 0) is high, and the destination has the PIT in the "
                "kernel: it waits for an acknowledgement that never comes",
                "QEMU loads the guest, but a guest that waits for the PIT then hangs. Start "
                "the destination with -global kvm-pit.lost_tick_policy=discard, or with the "
                "source's kernel-irqchip.",
                one.idstr,
            )


def _no_timer(event: StreamLoaded) -> Iterator[Problem]:
    for one in event.sections:
        body = bytes(one.body)
        if one.idstr != "i8254" or one.version_id < 3 or len(body) < 36:
            continue
        disabled, mode, following = struct.unpack_from(">i13xB10xq", body)
        if following < 0 and not disabled and mode in _PERIODIC:
            yield _found(
                "the source had the PIT in the kernel, which does not save its next expiry, and "
                "the destination has it in QEMU: its timer never fires",
                "QEMU loads the guest, but a guest that waits for the PIT then hangs. Start the "
                "destination with the source's kernel-irqchip.",
                one.idstr,
            )


def _section(name: str, body: bytes, *, instance: int = 0, version: int = 3) -> Section:
    return Section(
        kind=SectionKind.FULL,
        section_id=instance,
        idstr=name,
        instance_id=instance,
        version_id=version,
        body=body,
    )


def _pic(last_irr: int, imr: int = 0xFE) -> Section:
    return _section("i8259", bytes([last_irr, 0, imr]) + bytes(12), version=1)


def _pit(following: int, mode: int = 2) -> Section:
    channel = struct.pack(">iH10Bqq", 65536, 0, 0, 0, 0, 0, 0, 0, 3, mode, 0, 1, 0, following)
    return _section("i8254", bytes(4) + channel + bytes(72))


def _apic(waits: int) -> Section:
    return _section("apic", bytes(200) + b"\x05\x09apic_sipi" + struct.pack(">iii", 1, 0, waits))


def _point(*sections: Section, chip: str = "on", options: tuple[str, ...] = ()) -> StreamLoaded:
    line = ("qemu-system-x86_64", "-accel", f"kvm,kernel-irqchip={chip}", *options)
    cpu = LoadedState(
        index=0,
        vmsd=Vmsd(name="cpu", version=12, minimum=3),
        opaque=0,
        version=12,
        values={"env.mp_state": 0},
    )
    return StreamLoaded(
        release=(10, 0),
        profile=Profile(
            version=QemuVersion(10, 0),
            machine="pc-q35-5.2",
            target="x86_64",
            accelerator="kvm",
            wants_kvm=True,
            command_line=line,
        ),
        sections=sections,
        cpus=(cpu, cpu),
    )


_DISCARD = ("-global", "kvm-pit.lost_tick_policy=discard")

RULE = Rule(
    id="kvm-interrupts",
    severity=Severity.ENDANGERS,
    side=Fault.DESTINATION,
    now=(
        "Start {moving: the destination|the guest} with {the source's} kernel-irqchip, or wait "
        "until the guest's firmware has started its processors."
    ),
    prevent=(
        "{moving: Keep kernel-irqchip the same on all hosts; migrate guests between TCG and KVM "
        "only while they are down.}"
    ),
    verify="rehearse",
    events=(StreamLoaded,),
    check=check,
    examples=(
        refuses(_point(_apic(0), _apic(1)), "1 of the guest's 2 processors were not started"),
        refuses(_point(_apic(0), _apic(1), chip="split"), "1 of the guest's 2 processors"),
        loads(_point(_apic(0), _apic(0))),
        loads(_point(_apic(0), _apic(1), chip="off")),
        refuses(_point(_pic(1)), "is high"),
        loads(_point(_pic(1), chip="split")),
        loads(_point(_pic(1), options=_DISCARD)),
        loads(_point(_pic(1, imr=0xFF))),
        loads(_point(_pic(0))),
        refuses(_point(_pic(0), _pit(-1), chip="split"), "never fires"),
        loads(_point(_pic(0), _pit(-1))),
        loads(_point(_pic(0), _pit(1000), chip="split")),
        loads(_point(_pic(0), _pit(-1, mode=0), chip="split")),
    ),
)
