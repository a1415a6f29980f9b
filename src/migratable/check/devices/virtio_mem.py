"""virtio-mem: hw/virtio/virtio-mem.c."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem

#: Field, property, message, and how the values are printed.
_CHECKED: tuple[tuple[str, str, str, str], ...] = (
    ("addr", "memaddr", "virtio-mem-bool", "{:#x}"),
    ("region_size", "memdev", "virtio-mem-size", "{:#x}"),
    ("block_size", "block-size", "virtio-mem-bool", "{:#x}"),
    ("node", "node", "virtio-mem-bool", "{}"),
)


@post_load("virtio-mem-device/sanity-checks")
def sanity(event: BodyLoaded) -> Iterator[Problem]:
    """virtio_mem_mig_sanity_checks_post_load: place, size, block size and node are the same.

    Not examined: whether the destination's host can give the memory (``prealloc``).
    """
    for field, name, message, form in _CHECKED:
        sent, here = event.body.number(field), event.body.owned(field)
        if sent is None or here is None or sent == here:
            continue
        stream, local = form.format(sent), form.format(here)
        yield Problem(
            rule="field-equal",
            summary=f"virtio-mem's {name} is {stream} in the stream and {local} on the destination",
            words=((message, {"property": name, "stream": stream, "local": local}),),
            field=field,
        )
