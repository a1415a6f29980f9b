"""pseries devices: hw/ppc/spapr_caps.c, spapr_nvdimm.c.

The machine's own post-load compares capabilities and asks KVM for its MMU mode; interrupt
controllers (xics, xive), TCE tables, PCI host bridges, NVRAM, VTY and RTC refuse nothing but what
their tables compare. Of the hash page table the places are looked at, the entries are not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from migratable.check.devices import loads_old, post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import MessageRef, Problem, UnexaminedError
from migratable.problem_facts import CapabilitiesFacts
from migratable.profile.model import Profile
from migratable.stream.cursor import Cursor
from migratable.stream.iterable import read_htab, read_htab_start
from migratable.stream.model import Section
from migratable.stream.wire_format import SectionKind
from migratable.verdict import Severity

#: hw/ppc/spapr.c: spapr_hpt_shift_for_ramsize, and what H_RESIZE_HPT_PREPARE takes.
_SMALLEST_SHIFT, _LARGEST_SHIFT = 18, 46


_CAPABILITY = "spapr/cap/"


@post_load("spapr")
def spapr_caps_post_migration(event: BodyLoaded) -> Iterator[Problem]:
    """Every capability: the stream's level, or the default where it came without, and the local.

    A line for each that differs; one that is higher refuses.
    """
    tables = event.profile.loader
    if tables is None or not tables.capabilities:
        raise UnexaminedError(
            "the destination's machine capabilities are not in its profile; take it again"
        )
    levels = {
        name.removeprefix(_CAPABILITY): next(iter(sub.values.values()), None)
        for name, sub in event.body.subsections.items()
        if name.startswith(_CAPABILITY)
    }
    differing = []
    for cap in tables.capabilities:
        sent = levels.get(cap.wire)
        level = sent if isinstance(sent, int) else cap.default
        if level != cap.effective:
            differing.append((cap, level))
    higher = [(cap, level) for cap, level in differing if level > cap.effective]
    words: list[MessageRef] = [
        (
            "capability-higher" if level > cap.effective else "capability-lower",
            {"capability": cap.name, "stream": level, "local": cap.effective},
        )
        for cap, level in differing
    ]
    if higher:
        names = "; ".join(
            f"cap-{cap.name}: stream {level}, destination {cap.effective}" for cap, level in higher
        )
        yield Problem(
            rule="capability-higher",
            summary=f"the guest has capabilities at a higher level than the destination: {names}",
            words=tuple(words),
            subsection=f"{_CAPABILITY}{higher[0][0].wire}",
            facts=CapabilitiesFacts(
                higher=tuple((cap.name, level, cap.effective) for cap, level in higher)
            ),
        )
        return
    for (cap, level), line in zip(differing, words, strict=True):
        yield Problem(
            rule="capability-lower",
            refuses=False,
            severity=Severity.WARNS,
            summary=f"cap-{cap.name}: the guest has level {level}, the destination "
            f"{cap.effective}; harmless",
            words=(line,),
            subsection=f"{_CAPABILITY}{cap.wire}",
        )


@post_load("spapr_nvdimm_states", since=(7, 0))
def nvdimm(event: BodyLoaded) -> Iterator[Problem]:
    """spapr_nvdimm_flush_post_load: does the guest flush by hypercall, and may it here?"""
    sent, here = event.body.number("hcall_flush_required"), event.body.owned("hcall_flush_required")
    if sent is None or here is None or bool(sent) == bool(here):
        return
    device = event.idstr.rpartition("/")[0] or event.idstr
    if sent:
        yield Problem(
            rule="external-state",
            summary="the guest flushes the NVDIMM by hypercall, the destination offers none",
            words=(("spapr-nvdimm-flush", {"device": device}),),
            field="hcall_flush_required",
        )
    else:
        yield Problem(
            rule="external-state",
            summary="the NVDIMM is persistent memory at the source and a file at the destination",
            words=(("spapr-nvdimm-pmem", {"device": device}),),
            field="hcall_flush_required",
        )


#: include/hw/ppc/xive_regs.h: rings of 16 bytes, and registers in them.
_OS_RING, _POOL_RING, _PHYSICAL_RING, _NSR, _CPPR, _PIPR = 0x10, 0x20, 0x30, 0, 1, 7
#: An exception is pending (TM_QW1_NSR_EO), or none.
_OS_NSR = {0x00, 0x80}


@post_load("xive-tctx", since=(10, 1))
def thread_context(event: BodyLoaded) -> Iterator[Problem]:
    """vmstate_xive_tctx_post_load of 10.1 and later presents what is pending, and asserts."""
    registers = event.body.data("regs")
    if registers is None or len(registers) < _PHYSICAL_RING + 16:
        return
    unused = (*(_POOL_RING + one for one in (_NSR, _CPPR, _PIPR)), _PHYSICAL_RING + _NSR)
    if registers[_OS_RING + _NSR] not in _OS_NSR or any(registers[offset] for offset in unused):
        raise UnexaminedError("xive-tctx: interrupts that no pseries guest can have pending")
    yield from ()


def _ends(cursor: Cursor, section: Section) -> None:
    """A section with a footer ends where its contents do."""
    if section.footer and cursor.remaining:
        raise UnexaminedError("further data after its contents")


@loads_old("spapr/htab")
def hash_table(
    start: Section, parts: Iterable[Section], _profile: Profile | None = None
) -> Iterator[Problem]:
    """hw/ppc/spapr.c: htab_load: every slot lies in the table whose size the first part gave.

    :raise UnexaminedError: for a size that no source has, and parts of a table without one: the
        program would read on in the wrong place, or abort.
    """
    if start.kind is not SectionKind.START:
        raise UnexaminedError("its contents (no VMStateDescription)")
    head = start.cursor()
    shift = read_htab_start(head)
    _ends(head, start)
    if shift is not None and not _SMALLEST_SHIFT <= shift <= _LARGEST_SHIFT:
        raise UnexaminedError(f"a hash page table of 2^{shift} bytes")
    for part in parts:
        cursor = part.cursor()
        chunks = read_htab(cursor)
        _ends(cursor, part)
        for chunk in chunks:
            if shift is None:
                raise UnexaminedError("slots of a hash page table that was not announced")
            if chunk.index + chunk.valid + chunk.invalid > 1 << (shift - 4):
                words: dict[str, str | int] = {
                    "index": chunk.index - (chunk.index >> 31 << 32),
                    "valid": chunk.valid - (chunk.valid >> 15 << 16),
                    "invalid": chunk.invalid - (chunk.invalid >> 15 << 16),
                    "shift": shift,
                }
                yield Problem(
                    rule="field-validation",
                    summary=f"slot {chunk.index} is outside the hash page table of 2^{shift} bytes",
                    words=(("htab-index", words),),
                )
                return
