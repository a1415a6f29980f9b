"""The PowerPC CPU: target/ppc/machine.c, compat.c, cpu_init.c.

Not examined: KVM's part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from errno import EPERM

from migratable.check.devices import post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem, UnexaminedError
from migratable.check.state import LoadedState
from migratable.facts import ppc
from migratable.problem_facts import PvrFacts
from migratable.profile.model import Profile

_PRE_COMPAT_SECTION = (2, 9)


@post_load("cpu", target="ppc")
def cpu(event: BodyLoaded) -> Iterator[Problem]:
    """cpu_post_load: a compatibility mode that the processor has, or the same processor.

    The mode is the stream's; when it has none, the destination keeps the one it was started with.
    """
    profile = event.profile
    if _pvr(event.body) is None:
        return
    here = _own_pvr(event.body.own, profile)
    mode = _mode(event)
    if mode:
        yield from _compat(mode, here, profile)
        return
    other = processor(event.body, event.body.own, profile)
    if other is not None:
        yield other


def processor(body: LoadedState, own: LoadedState | None, profile: Profile) -> Problem | None:
    """What is refused without a compatibility mode: another processor (``pvr_match``).

    :param own: the destination's own body of a CPU.
    :raise UnexaminedError: when the destination's processor is not known.
    """
    pvr = _pvr(body)
    if pvr is None:
        return None
    here = _own_pvr(own, profile)
    if pvr == here:
        return None
    release = profile.version.release
    exact, by_revision = (
        ppc.has(switch, release) for switch in ("exact_pvr_match", "pvr_match_by_revision")
    )
    if ppc.pvr_match(pvr, here, ppc.family_of(here), exact=exact, by_revision=by_revision):
        return None
    names = {
        number: ppc.name_of(number) or ppc.family_of(number) or "another" for number in (pvr, here)
    }
    model = profile.cpu_model or names[here]
    return Problem(
        rule="cpu-identity",
        summary=f"the guest's processor is {names[pvr]} (PVR {pvr:#010x}), the destination's "
        f"{names[here]} (PVR {here:#010x})",
        explanation=f"The destination's -cpu means {model}. A guest without a compatibility mode "
        "runs only on the processor version that it was started with.",
        field="env.spr",
        facts=PvrFacts(pvr=pvr),
    )


def _pvr(body: LoadedState | None) -> int | None:
    """The processor version register in a body."""
    sprs = None if body is None else body.numbers("env.spr", 8) or body.numbers("env.spr", 4)
    return sprs[ppc.SPR_PVR] & 0xFFFFFFFF if sprs is not None and len(sprs) > ppc.SPR_PVR else None


def _own_pvr(own: LoadedState | None, profile: Profile) -> int:
    here = _pvr(own)
    if here is None:
        here = profile.pvr
    if here is None:
        raise UnexaminedError("the destination's processor version (PVR)")
    return here


def _mode(event: BodyLoaded) -> int:
    """Logical PVR of the compatibility mode after loading, 0 for none."""
    sent = event.body.subsections.get("cpu/compat")
    if sent is not None:
        return sent.number("compat_pvr") or 0
    own = event.body.own.subsections.get("cpu/compat") if event.body.own is not None else None
    if own is not None:
        return own.number("compat_pvr") or 0
    machine = re.fullmatch(r"pseries-(\d+)\.(\d+)", event.profile.machine)
    if machine is None or (int(machine[1]), int(machine[2])) > _PRE_COMPAT_SECTION:
        return 0
    # machine types up to 2.9 have a mode and do not send it
    said = re.findall(r"(?:max-cpu-)?compat=([^,\s]+)", " ".join(event.profile.command_line))
    found = ppc.modes(event.release).get(said[-1].lower()) if said else None
    return 0 if found is None else found.pvr


def _compat(pvr: int, here: int, profile: Profile) -> Iterator[Problem]:
    """``ppc_set_compat``."""
    release = profile.version.release
    mode = next((mode for mode in ppc.modes(release).values() if mode.pvr == pvr), None)
    if mode is None:
        yield Problem(
            rule="cpu-identity",
            summary=f"the guest runs in a compatibility mode (PVR {pvr:#010x}) that this release "
            "does not know",
            words=(("ppc-compat-unknown", {"pvr": pvr}),),
            subsection="cpu/compat",
        )
        return
    model = ppc.models(release).get(profile.cpu_model.lower()) or ppc.model_of(here, release)
    if model is None:
        raise UnexaminedError(f"whether PVR {here:#010x} can run in {mode.name} mode")
    test = ppc.has("logical_pvr_test", release)
    if not ppc.can_run(mode, model.family, logical_pvr_test=test):
        yield Problem(
            rule="cpu-identity",
            summary=f"the guest runs in {mode.name} mode, which the destination's {model.name} "
            "does not have",
            words=(("start-compat", {"pvr": pvr}),),
            subsection="cpu/compat",
        )


#: target/ppc/mmu-hash64.h: bits of a segment's entry.
_ESID, _ESID_VALID = 0xFFFF_FFFF_F000_0000, 0x0800_0000
_SIZE, _SIZE_1T, _PAGE_MASK = 3 << 62, 1 << 62, 0x130
#: Encodings of 4 KiB and 64 KiB pages; of larger ones the machine's options tell which exist.
_PAGES = {0x000, 0x110}
#: Entries of POWER7 and later; older processors have 64.
_FEWEST_SEGMENTS = 32


@post_load("cpu/slb")
def segments(event: BodyLoaded) -> Iterator[Problem]:
    """slb_post_load: ``ppc_store_slb`` takes each entry of the segment table."""
    table = event.body.data("env.slb") or b""
    for slot in range(len(table) // 16):
        esid = int.from_bytes(table[16 * slot : 16 * slot + 8], "big")
        vsid = int.from_bytes(table[16 * slot + 8 : 16 * slot + 16], "big")
        if not esid and not vsid:
            continue
        bad = esid & ~(_ESID | _ESID_VALID) or vsid & _SIZE & ~_SIZE_1T
        if slot >= _FEWEST_SEGMENTS or (not bad and vsid & _PAGE_MASK not in _PAGES):
            raise UnexaminedError(f"whether the processor takes segment {slot} of cpu/slb")
        if bad:
            yield Problem(
                rule="field-validation",
                summary=f"entry {slot} of the segment table has reserved bits set "
                f"(esid {esid:#x}, vsid {vsid:#x})",
                errno=EPERM,
                field="env.slb",
            )
            return
