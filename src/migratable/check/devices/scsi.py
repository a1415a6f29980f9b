"""SCSI controllers: hw/scsi/lsi53c895a.c, mptsas.c.

No hook of esp, megasas and pvscsi fails.
"""

from __future__ import annotations

from collections.abc import Iterator

from migratable.check.devices import beyond, post_load, reads
from migratable.check.events import BodyLoaded
from migratable.check.loader import Reading
from migratable.check.problem import Problem, UnexaminedError

_LSI_MAX_MSGIN_LEN = 8
_MPTSAS_FIFO = 129
_MPTSAS_MESSAGE = 256


@post_load("lsiscsi")
def lsi(event: BodyLoaded) -> Iterator[Problem]:
    """lsi_post_load: the length of the message in."""
    length = event.body.signed("msg_len", 4)
    if length is not None and not 0 <= length <= _LSI_MAX_MSGIN_LEN:
        yield beyond(f"the controller's message has {length} bytes, 8 is the most")


@post_load("mptsas")
def mptsas(event: BodyLoaded) -> Iterator[Problem]:
    """mptsas_post_load: indices of the doorbell and of three queues."""
    body = event.body
    for index, count in (
        ("doorbell_idx", "doorbell_cnt"),
        ("doorbell_reply_idx", "doorbell_reply_size"),
    ):
        here, most = body.signed(index, 4), body.signed(count, 4)
        if here is None or most is None:
            continue
        # ``doorbell_cnt > ARRAY_SIZE(doorbell_msg)`` compares unsigned
        if here > most or (most & 0xFFFFFFFF) > _MPTSAS_MESSAGE:
            yield beyond(f"{index} is {here} of {most}, and 256 is the most")
            return
    for queue in ("request_post", "reply_post", "reply_free"):
        for end in ("head", "tail"):
            place = body.number(f"{queue}_{end}")
            if place is not None and place > _MPTSAS_FIFO:
                yield beyond(f"{queue}_{end} is {place}, the queue size is 129")
                return
    step = body.number("diagnostic_idx")
    if step is not None and step > 4:
        yield beyond(f"diagnostic_idx is {step}, 4 is the last")


@reads("scsi-requests")
def scsi_requests(reading: Reading) -> None:
    """hw/scsi/scsi-bus.c: get_scsi_requests.

    :raise UnexaminedError: for those that wait: the bus ends the program for a queue that the
        destination lacks, and for what it cannot parse.
    """
    mark = reading.loader.f.get_be(1)
    if 0 < mark < 0x80:
        raise UnexaminedError(f"{reading.loader.handler.idstr}: requests that wait for the disk")
