"""Other releases that load the stream with the same command line."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.hints.candidate import Candidate, Situation
from migratable.verdict import Side


def advice(situation: Situation) -> Iterator[Candidate]:
    """What to do when the program itself is the cause."""
    del situation
    yield Candidate(
        action="no option of this QEMU helps: use a destination with the source's release or a "
        "newer one (migratable route finds a chain), or restart the guest with a machine type and "
        "devices that both sides have",
        side=Side.SOURCE,
        needs_guest_restart=True,
        last_resort=True,
    )
