"""A prediction from a stored profile."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import PROGRAM, Row, peak_memory, seconds
from migratable.profile import bundled

ANSWERS = (0, 1, 3)


def rows() -> Iterator[Row]:
    """Check the bundled example against each bundled profile: time, and memory of the last."""
    for example in sorted(bundled.FOLDER.glob("*.mig*"))[:1]:
        for name in bundled.names():
            command = [*PROGRAM, "check", str(example), "--to", name, "--format", "json"]
            value = seconds(command, statuses=ANSWERS)
            yield Row(what=f"check {example.name} --to {name}", value=value, limit=0.25)
            memory = peak_memory(command, statuses=ANSWERS)
            yield Row(what="  resident memory", value=memory, unit="MB", limit=120)
