"""The text output of ``migratable relay``."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.printable import printable
from migratable.relay.planned import shown
from migratable.relay.result import Guest, Reason, Result

_GUEST = {
    Guest.DESTINATION: "the guest is on the destination",
    Guest.SOURCE: "the guest continues on the source",
    Guest.NOWHERE_SEEN: "it is not known where the guest is: check the source",
}


def lines(result: Result) -> Iterator[str]:
    """Give the lines."""
    label = "MIGRATED" if result.reason is Reason.MIGRATED else "ABORTED"
    yield f"{label:<12}{printable(result.message)}"
    if result.guest in _GUEST:  # of one that stands still the message says what to do
        yield f"{'':<12}{_GUEST[result.guest]}"
    for line in shown(result.edits):
        yield f"{'':<12}{printable(line)}"
    if result.bytes:
        rate = result.bytes / max(1e-3, result.seconds) / 1e6
        yield (
            f"{'':<12}{result.bytes / 1e6:,.1f} MB in {result.seconds:.1f} s ({rate:,.0f} MB/s), "
            f"{result.rounds} rounds; device state {result.device_bytes:,} bytes"
        )
    steps = result.times.to_json()
    names = {"check_ms": "checked in", "load_ms": "loaded in", "handover_ms": "handed over in"}
    said = [f"{words} {steps[name]:.1f} ms" for name, words in names.items() if name in steps]
    if said:
        yield f"{'':<12}{', '.join(said)}"
