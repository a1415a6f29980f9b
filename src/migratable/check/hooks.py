"""What devices' hooks say at a point, asked once for all the rules that share it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from migratable.check.devices import after, before
from migratable.check.events import BodyEntered, BodyLoaded
from migratable.check.problem import Problem

_kept = threading.local()


def judged(at: BodyLoaded | BodyEntered) -> Sequence[Problem]:
    """Problems of the hook that runs at this point; the last point's are kept."""
    last: tuple[object, Sequence[Problem]] | None = getattr(_kept, "last", None)
    if last is not None and last[0] is at:
        return last[1]
    found = tuple(after(at) if isinstance(at, BodyLoaded) else before(at))
    _kept.last = (at, found)
    return found
