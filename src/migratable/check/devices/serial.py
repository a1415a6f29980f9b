"""Serial ports: hw/char/serial.c."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EPERM

from migratable.check.devices import post_load
from migratable.check.events import BodyLoaded
from migratable.check.problem import Problem

_TRANSMITTER_EMPTY = 0x40  # UART_LSR_TEMT


@post_load("serial")
def serial(event: BodyLoaded) -> Iterator[Problem]:
    """serial_post_load: a character that waits, and a transmitter that says it is empty.

    ``tsr_retry`` is unsigned and printed as signed; it is 0 in a port that was just
    started, and stays so without its subsection.
    """
    lsr = event.body.number("lsr")
    if lsr is None:
        return
    waiting = event.body.subsections.get("serial/tsr")
    retry = (waiting.number("tsr_retry") or 0) if waiting is not None else 0
    empty = bool(lsr & _TRANSMITTER_EMPTY)
    if retry > 0 and empty:
        yield Problem(
            rule="field-validation",
            summary=f"tsr is empty but tsr_retry is {retry}",
            words=(("serial-tsr-empty", {"retry": retry - (retry >> 31 << 32)}),),
            errno=EPERM,
            field="lsr",
        )
    elif not retry and not empty:
        yield Problem(
            rule="field-validation",
            summary="tsr is not empty but tsr_retry is 0",
            words=(("serial-tsr", {}),),
            errno=EPERM,
            field="lsr",
        )
