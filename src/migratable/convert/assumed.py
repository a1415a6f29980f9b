"""What a program assumes that does not know a subsection or a field, with the origin of each fact.

A fact is written down only where QEMU's sources of both sides were read: the newer one says what
the value means, the older one behaves as for one value of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migratable.stream import Section
from migratable.stream.decoded import Body
from migratable.stream.fields import decode

if TYPE_CHECKING:
    from migratable.convert.situation import Situation

_CAPABILITY = "spapr/cap/"
#: Interrupt controllers of pseries that a stream shows by their sections.
_CONTROLLERS = {
    "xics": frozenset({"ics"}),
    "xive": frozenset({"spapr_xive", "spapr-xive", "xive-source", "xive-tctx"}),
}


def has_controller(sections: tuple[Section, ...], wire: str) -> bool | None:
    """Whether the source has the interrupt controller that a capability stands for.

    ``hw/ppc/spapr_irq.c: spapr_irq_init``: the controllers of ``ic-mode`` are made at start and
    all send their sections, whatever the guest has negotiated. None for other capabilities.
    """
    names = _CONTROLLERS.get(wire)
    if names is None:
        return None
    return any(section.idstr.rpartition("/")[2] in names for section in sections)


def subsection(name: str, data: bytes, situation: Situation) -> str:
    """Why a program without the subsection assumes what it says; empty when it may not."""
    if name.startswith(_CAPABILITY):
        return _capability(name, data, situation)
    fact = _SUBSECTIONS.get(name)
    return fact.why if fact is not None and fact.holds(data) else ""


def _capability(name: str, data: bytes, situation: Situation) -> str:
    level = int.from_bytes(data, "big")
    wire = name.removeprefix(_CAPABILITY)
    there = has_controller(situation.stream.sections, wire)
    if there is not None and there == bool(level):
        return (
            f"cap-{wire} is {level}, which the sections of the stream say as well: the source has "
            f"{'that' if there else 'no such'} interrupt controller"
        )
    if level == 0:
        return f"cap-{wire} is 0: the guest does not have what the destination does not know"
    return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fact:
    holds: Callable[[bytes], bool]
    why: str


def _clear(data: bytes) -> bool:
    return not any(data)


_NO_HIGH = "no feature above bit 63 is negotiated, and the destination knows none"
_SUBSECTIONS = {
    # hw/virtio/virtio.c, virtio-pci.c of 10.2: features 64 to 127; before there were none.
    "virtio/128bit_features": _Fact(
        holds=lambda data: _clear(data[:8]) if len(data) == 8 else _clear(data), why=_NO_HIGH
    ),
    "virtio_pci/modern_state/features128": _Fact(holds=_clear, why=_NO_HIGH),
    # target/ppc/machine.c, cpu_init.c of 9.1: a reservation may be lost at any time (Power ISA,
    # Book II 1.7.2), and every release clears it when a vCPU is switched.
    "cpu/reservation": _Fact(
        holds=lambda _: True,
        why="the processor may lose a reservation at any time, and programs try again",
    ),
    # target/ppc/machine.c of 9.1: the branch history of POWER10; nothing recorded.
    "cpu/bhrb": _Fact(holds=_clear, why="the branch history is empty, as without one"),
}


def field(  # noqa: PLR0917 -- a fact may need the whole situation
    vmsd: str, name: str, data: bytes, section: Section, body: Body, situation: Situation
) -> str:
    """Why a program without the field assumes what it says; empty when it may not."""
    fact = _FIELDS.get((vmsd, name))
    return fact(data, section, body, situation) if fact is not None else ""


def _def_win(data: bytes, section: Section, body: Body, situation: Situation) -> str:
    """``hw/ppc/spapr_rtas_ddw.c: rtas_ibm_remove_pe_dma_window``: the only reader of ``def_win``.

    From 6.2 on the removal of the last window restores the default one, unless it was the default
    one that went. 5.2 and before never restore it, as if every window were the default one; a
    table without entries cannot be removed, and tables of VIO devices have no windows.
    """
    entries = body.value("mig_nb_table")
    if any(data):
        return (
            "it is the default DMA window: its removal restores nothing, as in every older program"
        )
    if not entries:
        return "the table has no entries: there is no window to remove"
    if section.instance_id & 0xFFFFFFFF < _PHB_LIOBN:
        return "it is the table of a VIO device, which has no DMA windows to remove"
    default = situation.stream.device("spapr_iommu", section.instance_id & ~_WINDOWS)
    if default is not section and default is not None and _entries(default):
        return (
            "the bridge's default DMA window is there, so this one is not the last; 5.2 differs "
            "only when a guest removes the default window first and this one after it"
        )
    return ""


def _entries(table: Section) -> int:
    """``mig_nb_table``: the second number, behind the LIOBN; all versions."""
    return int.from_bytes(table.body[4:8], "big")


#: include/hw/ppc/spapr.h: SPAPR_PCI_LIOBN; VIO devices have numbers below.
_PHB_LIOBN = 0x80000000
#: Bits of a LIOBN that number the windows of a bridge; 0 is the default window's table.
_WINDOWS = 0xFF

_FIELDS: dict[tuple[str, str], Callable[[bytes, Section, Body, Situation], str]] = {
    ("spapr_iommu", "def_win"): _def_win,
    # hw/scsi/esp.c of 10.2 and later, esp_cmd_is_valid: the only reader, which refuses commands.
    ("esp", "asc_mode"): lambda *_: (
        "the mode only says which commands the controller takes; an older one takes all in any mode"
    ),
    # hw/ipmi/ipmi_bmc_sim.c of 11.x ("Support getting fake LAN channel config", January 2026): the
    # commands read it, none writes it; channel 0 is none, and they answer as before.
    ("ipmi-bmc-sim", "lan"): lambda data, *_: (
        "" if data[0] else "no LAN channel is configured, as in a BMC without one"
    ),
}


def unused_section(section: Section, situation: Situation) -> str:
    """Why a section that nobody takes holds nothing of the guest's; empty when it may."""
    kind = section.idstr.rpartition("/")[2]
    fact = _SECTIONS.get(kind)
    return fact(section, situation) if fact is not None else ""


def _slirp(section: Section, situation: Situation) -> str:
    """``net/slirp.c: net_slirp_state_save``: of a back end, no device."""
    body = bytes(section.body)
    for name, stream in (
        (situation.destination.name, situation.destination.own),
        *situation.destination.at_hand(),
    ):
        for one in () if stream is None else stream.devices:
            if one.idstr == section.idstr and bytes(one.body) == body:
                return (
                    "the user network has no connections and leases to keep: a just started "
                    f"{name or 'destination'} sends the same bytes"
                )
    return ""


def _kvm_tpr_opt(section: Section, _at: Situation) -> str:
    """``hw/i386/vapic.c: vapic_report_tpr_access``: patches the guest's code, then ACTIVE (1)."""
    if decode(section).value("state") in (0, 2):
        return "no instruction of the guest was replaced (inactive or standby); nothing calls it"
    return ""


def _kvmclock(_section: Section, situation: Situation) -> str:
    """``hw/i386/kvm/clock.c``: the time that guests read from the page that they gave KVM."""
    places = [
        decode(device).value("env.system_time_msr")
        for device in situation.stream.devices
        if device.idstr == "cpu"
    ]
    if places and all(place == 0 for place in places):
        return "no processor of the guest has requested the clock (MSR_KVM_SYSTEM_TIME is 0)"
    return ""


_SECTIONS: dict[str, Callable[[Section, Situation], str]] = {
    "slirp": _slirp,
    "kvm-tpr-opt": _kvm_tpr_opt,
    "kvmclock": _kvmclock,
}
