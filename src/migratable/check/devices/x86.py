"""The x86 CPU: target/i386/machine.c.

What KVM says to registers, MSRs and nested state is the destination's kernel's and not examined;
CPUID is compared by no release's loader.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem, UnexaminedError
from migratable.check.state import LoadedState

_HF_GUEST = 1 << 21
_REENLIGHTENMENT_ENABLED = 1 << 16


def _user_khz(cpu: LoadedState | None, event: BodyLoaded) -> int | None:
    """``tsc-frequency=`` of the destination in kHz, 0 without, None when it cannot be told.

    Under TCG a CPU has a frequency to send when, and only when, the user gave one.
    """
    if cpu is None or cpu.own is None or event.profile.accelerator != "tcg":
        return None
    sent = cpu.own.subsections.get("cpu/tsc_khz")
    return 0 if sent is None else sent.number("env.tsc_khz")


@post_load("cpu", target="x86_64")
@post_load("cpu", target="i386")
def cpu(event: BodyLoaded) -> Iterator[Problem]:
    """cpu_post_load: clock rate, form of the floating point registers, nested guest."""
    body = event.body
    sent = body.subsections.get("cpu/tsc_khz")
    khz = sent.signed("env.tsc_khz", 8) if sent is not None else None
    here = _user_khz(body, event)
    if khz and here and khz != here:
        yield Problem(
            rule="cpu-features",
            summary=f"the guest's clock runs at {khz} kHz, the destination was given {here} kHz",
            words=(("x86-tsc-frequency", {}),),
            subsection="cpu/tsc_khz",
        )
    form = body.number("env.fpregs_format_vmstate")
    if form:
        yield Problem(
            rule="version-too-old",
            summary=f"floating point registers are in form {form}, of QEMU before 2006",
            words=(("x86-softfloat", {}),),
            field="env.fpregs_format_vmstate",
        )
    if (body.number("env.hflags") or 0) & _HF_GUEST:
        nested = body.subsections.get("cpu/nested_state")
        if nested is None:
            yield Problem(
                rule="kernel-state",
                summary="the CPU runs a nested guest, whose state is not in the stream",
                explanation="Nested guests of TCG (SVM) cannot be moved; under KVM the source's "
                "kernel did not give their state.",
                words=(("x86-guest-mode", {}),),
                field="env.hflags",
            )


@post_load("cpu/nested_state")
def nested_state(event: BodyLoaded) -> Iterator[Problem]:
    """nested_state_post_load asks the kernel; a program without KVM has no place for it."""
    if event.profile.wants_kvm:
        raise UnexaminedError("whether the destination's KVM supports the nested guest's state")
    yield Problem(
        rule="kernel-state",
        summary="the guest runs nested guests under KVM, and the destination runs without KVM",
        explanation="The program aborts: it has no memory for the nested state.",
        subsection="cpu/nested_state",
    )


@post_load("cpu/msr_hyperv_reenlightenment", since=(6, 1))
def reenlightenment(event: BodyLoaded) -> Iterator[Problem]:
    """hyperv_reenlightenment_post_load: the clock rate must have been given."""
    control = event.body.number("env.msr_hv_reenlightenment_control") or 0
    if control & _REENLIGHTENMENT_ENABLED and _user_khz(event.body.parent, event) == 0:
        yield Problem(
            rule="cpu-features",
            summary="Windows requests notice of a new clock rate, but tsc-frequency= is not given",
            words=(("x86-hyperv-reenlightenment", {}),),
            subsection="cpu/msr_hyperv_reenlightenment",
        )


#: Where option ROMs are copied to, and their alignment (SeaBIOS; docs/specs of PCI firmware).
_ROMS, _ROM_ALIGN, _ROM_BLOCK = range(0xC0000, 0x100000), 0x800, 0x200


@post_load("kvm-tpr-opt")
def vapic(event: BodyLoaded) -> Iterator[Problem]:
    """vapic_post_load: a state in use leads to an option ROM in the guest's memory.

    Its size is read there; a guest whose firmware has put it there has one.
    """
    state, place = event.body.number("state"), event.body.number("rom_state_paddr")
    if not state and not place:
        return
    block = (place or 0) & ~(_ROM_BLOCK - 1)
    if block not in _ROMS or block % _ROM_ALIGN or state not in {0, 1, 2}:
        raise UnexaminedError("kvm-tpr-opt: the option ROM in the guest's memory that it names")
    yield from ()
