"""Devices of a destination that the stream lacks: the guest loads, but cannot come back."""

from __future__ import annotations

from collections.abc import Iterable

from migratable.check.baseline import Baseline
from migratable.facts.sections import OF_EACH_CPU
from migratable.profile.model import Profile
from migratable.profile.tables import Handler
from migratable.stream.model import Section
from migratable.stream.wire_format import WHOLE

_MOST = 4


def more_than(
    baseline: Baseline, sections: Iterable[Section], origin: Profile | None = None
) -> tuple[Handler, ...]:
    """Handlers of which the destination always sends a section and the stream has none.

    ``migration/vmstate.c: vmstate_section_needed``: a description without ``needed`` is always
    sent, so that the stream's source has no such handler, and refuses the section as unknown
    (``migration/savevm.c: qemu_loadvm_section_start_full``). Those with one say nothing, nor does a
    machine that stands in for one under KVM, whose devices are others; nor do empty ones, which a
    later release no longer sends (``audio/audio.c: vmstate_audio``).

    :param origin: the source's profile, whose handlers are then known.
    """
    if baseline.profile.stand_in or baseline.stream is None:
        return ()
    met = set()
    for section in sections:
        if section.kind in WHOLE:
            handler = baseline.find_se(section.idstr, section.instance_id)
            if handler is not None:
                met.add((handler.idstr, handler.instance_id))
    if origin is not None and origin.loader is not None:
        met.update((handler.idstr, handler.instance_id) for handler in origin.loader.handlers)
    sent = {(handler.idstr, handler.instance_id) for handler in baseline.stream.sections}
    tables = baseline.tables
    return tuple(
        handler
        for handler in tables.handlers
        if (handler.idstr, handler.instance_id) in sent - met
        and handler.vmsd is not None
        and "needed" not in tables.vmsds[handler.vmsd].hooks
        and (tables.vmsds[handler.vmsd].fields or tables.vmsds[handler.vmsd].subsections)
    )


def names(handlers: Iterable[Handler]) -> str:
    """Their names for a sentence, each once; the parts of a CPU as CPUs."""
    idstrs = [name.idstr for name in handlers]
    cpus = idstrs.count("cpu_common")
    if cpus:
        idstrs = [name for name in idstrs if name not in OF_EACH_CPU]
    text = list(dict.fromkeys(idstrs))
    if cpus:
        text.insert(0, "one CPU more" if cpus == 1 else f"{cpus} CPUs more")
    more = f" and {len(text) - _MOST} more" if len(text) > _MOST else ""
    return ", ".join(text[:_MOST]) + more
