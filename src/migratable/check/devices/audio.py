"""Sound cards: hw/audio/sb16.c. No hook of ac97, es1370, cs4231a, gus and HDA fails."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EPERM

from migratable.check.devices import beyond, has_fixes_of_2026, post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem

_BUFFERS = (("in_index", 10), ("out_data_len", 50))


@post_load("sb16", since=(10, 0))
def sb16(event: BodyLoaded) -> Iterator[Problem]:
    """sb16_post_load: fill of the two buffers."""
    if not has_fixes_of_2026(event):
        return
    for field, size in _BUFFERS:
        used = event.body.signed(field, 4)
        if used is not None and not 0 <= used <= size:
            yield beyond(f"{field} is {used}, the buffer has {size} bytes", errno=EPERM)
            return
