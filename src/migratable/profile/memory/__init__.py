"""Read the loader's own tables from a paused destination's memory.

A migration stream is loaded by tables that no QMP command shows: the list of registered handlers
and the ``VMStateDescription`` tables behind them. ``-dump-vmstate`` prints some of those, without
types, flags and hooks, and not those of cpu, machine and bus. The process that we started has all
of them, and Linux lets us read our own child's memory (``/proc/PID/mem``), so that is where they
are taken from: nothing is guessed from a release number, and downstream builds describe
themselves.

How the tables are found (probing structure, not versions):

1. ``SaveStateEntry`` holds its idstr inline, ``char idstr[256]``; every machine has the handler
   ``timer``, so 256 bytes ``timer`` NUL NUL … in the heap are its name.
2. Its QTAILQ links lead to all other handlers (``migration/savevm.c``).
3. The one layout under which the descriptions of all handlers make sense is the build's
   (:mod:`.layout`, :mod:`.probe`).

It works for 64-bit little-endian and big-endian hosts; where memory can't be read (another
operating system, a locked-down container) the profile says so in its ``unchecked`` list.
"""

from __future__ import annotations

from collections.abc import Sequence

from migratable.facts.ppc import SPR_PVR
from migratable.profile.memory.arm import constants
from migratable.profile.memory.capabilities import read_capabilities
from migratable.profile.memory.ccw import CHANNEL, channel_devices
from migratable.profile.memory.image import Image
from migratable.profile.memory.layout import find_handlers, find_layout
from migratable.profile.memory.live import Recorder
from migratable.profile.memory.pci import read_pci_masks
from migratable.profile.memory.process import ProcessMemory
from migratable.profile.memory.tables import TableReader
from migratable.profile.memory.virtio import is_virtio, read_virtio
from migratable.profile.tables import Handler, LoaderTables

#: Descriptions that virtio devices lead to in code, not in tables (hw/virtio/virtio*.c).
_VIRTIO = (
    "virtio",
    "virtio/64bit_features",
    "virtio/ringsize",
    "virtio/virtqueues",
    "virtio_pci",
)

__all__ = ["ProcessMemory", "introspect"]


def introspect(
    pid: int, *, also: tuple[str, ...] = (), capabilities: Sequence[str] = ()
) -> LoaderTables:
    """Read the loader's tables of the paused QEMU process *pid*.

    :param also: names of further descriptions to find, which no handler leads to.
    :param capabilities: names of the machine's capabilities (pseries).
    :raise ProfileError: when memory cannot be read or is not that of a QEMU that we understand.
    """
    with ProcessMemory(pid) as memory:
        entries = find_handlers(memory)
        layout = find_layout(memory, entries)
        # ``timer`` is of the program itself, whatever is in modules.
        first = sorted(entries, key=lambda entry: entry.idstr != "timer")
        image = Image(memory, [entry.vmsd for entry in first if entry.vmsd])
        reader = TableReader(memory, layout, image)
        handlers = tuple(reader.handler(entry) for entry in entries)
        extra = reader.by_name(*_wanted(handlers, reader), *also)
        recorder = Recorder(memory, reader.vmsds)
        for handler in handlers:
            if handler.vmsd is not None:
                recorder.walk(handler.vmsd, handler.opaque)
            if handler.idstr == "cpu" and handler.vmsd is not None:
                recorder.register(handler.vmsd, handler.opaque, "env.spr", SPR_PVR)
        virtio, notes = read_virtio(memory, handlers, reader, extra)
        virtio = channel_devices(memory, handlers, reader, extra, virtio)
        recorder.extend(reader.vmsds)
        for handler in handlers:
            live = virtio.get(handler.idstr)
            for index in () if live is None else live.vmsds.values():
                if index != handler.vmsd and reader.vmsds[index].name.startswith("virtio"):
                    recorder.walk(index, handler.opaque)
            if live is not None and live.ccw:
                recorder.walk(extra[CHANNEL], live.ccw)
        pci, more_notes = read_pci_masks(memory, handlers, reader, extra)
        reused = reader.settle_types()
        return LoaderTables(
            handlers=handlers,
            vmsds=tuple(reader.vmsds),
            words=recorder.words,
            pci=pci,
            virtio=virtio,
            extra=extra,
            capabilities=read_capabilities(memory, handlers, reader.vmsds, capabilities),
            constants=constants(memory, handlers, reader.vmsds),
            notes=(*notes, *more_notes, *reused),
            build_id=image.build_id,
            digests=image.digests(),
        )


def _wanted(handlers: tuple[Handler, ...], reader: TableReader) -> tuple[str, ...]:
    """Names of descriptions to look for: no search for what the machine does not have."""
    virtio = any(h.vmsd is not None and is_virtio(reader.vmsds[h.vmsd]) for h in handlers)
    ccw = virtio and any(
        h.vmsd is not None and reader.vmsds[h.vmsd].name == "s390_css" for h in handlers
    )
    mmio = any(h.idstr.startswith("virtio-mmio@") for h in handlers)
    return (
        *(_VIRTIO if virtio else ()),
        *(("virtio_mmio",) if mmio else ()),
        *((CHANNEL,) if ccw else ()),
        "PCIDevice",
    )
