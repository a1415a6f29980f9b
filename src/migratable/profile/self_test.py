"""Load a destination's own stream: some machines refuse it, and no table shows that.

QEMU 5.2's ``-cpu max`` of Arm with ``secure=on`` writes registers that do not read back; boards
have devices whose hooks refuse their own reset state. Where all code of a target was read this is
known from the code; elsewhere it is tried.
"""

from __future__ import annotations

import time
from dataclasses import replace

from migratable.errors import DestinationStartError, QemuError, StreamError
from migratable.facts import targets
from migratable.profile.model import Profile
from migratable.qemu.load import load
from migratable.qemu.start import InertStart
from migratable.stream import read


def tried(start: InertStart, profile: Profile, *, timeout: float) -> Profile:
    """*profile* with what its program says to its own stream, where that is not known.

    :param start: the inert command line; it is started once more.
    :param timeout: seconds for the start, and for the load.
    """
    if not profile.stream or targets.wholly(profile.target):
        return profile
    try:
        stream = read(profile.stream)
        with start.process(extra=["-incoming", "defer"], timeout=timeout) as qemu:
            before = len(qemu.stderr_lines())
            ended = load(qemu, stream, deadline=time.monotonic() + timeout)
            lines = qemu.stderr_lines()[before:]
    except (DestinationStartError, QemuError, StreamError) as error:
        why = f"whether the destination loads its own stream: {error}"
        return replace(profile, unchecked=(*profile.unchecked, why))
    if ended.completed:
        return profile
    return replace(profile, refuses_itself=lines or (ended.crashed or "it printed nothing",))
