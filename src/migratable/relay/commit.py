"""The order in which both sides learn the result, so that only one side has the guest.

Left to themselves, source and destination decide at the same time: the destination starts the
guest when the stream's end has come, and then tells the source; if that word is lost the source
starts it too. Here there is an order, and no moment at which both can have it, whoever dies:

1. The destination gets every section, and a ping behind them (``MIG_CMD_PING``). Its answer says
   that it has loaded them (``loadvm_process_command`` runs in the stream's order). If it refuses
   one, the source is told so and goes on running the guest; the destination never got the end.
2. The source is told that the destination is done (``MIG_RP_MSG_SHUT`` 0). It then takes the
   migration for completed, and its guest stands still: ``postmigrate``; ``cont`` starts it again.
3. When the source's kernel has that word, the destination gets the end of the stream (EOF, vmdesc),
   without which it starts no guest.

A source without a return path takes the migration for completed as soon as all is written. Then 2
is left out, and it has been standing still since.
"""

from __future__ import annotations

import contextlib
import socket
import time

from migratable.relay.arriving import SourceEndedError
from migratable.relay.links import DestinationEndedError, InterruptedRelayError, Links, SourceState
from migratable.relay.result import Times
from migratable.relay.return_path import PING, shut

_LAST_WORD = 60.0
"""Seconds for the destination to say that its guest has started."""
_FAREWELL = 5.0


def commit(
    links: Links, sections: memoryview | bytes, rest: memoryview | bytes, times: Times
) -> None:
    """Hand the guest over.

    :raise DestinationEndedError: before :attr:`Times.committed`: it did not load the sections.
        After: it ended without a word, and the source stands still.
    :raise SourceEndedError: the source gave up; nothing was handed over.
    """
    links.send(sections)
    links.send(PING)
    while not links.pong:
        readable, _ = links.wait(read=links.return_path, write=False)
        if readable and not links.source_is_there:
            raise SourceEndedError
    times.loaded = time.monotonic()
    if links.return_path:
        _release(links)
    links.stopped = lambda: False  # half a handover is worse than a late end
    links.send(rest)
    times.committed = time.monotonic()
    assert links.destination is not None
    with contextlib.suppress(OSError):
        links.destination.shutdown(socket.SHUT_WR)
    _await_last_word(links, times.committed + _LAST_WORD)
    times.ended = time.monotonic()
    if links.return_path:
        _await_source(links)


def _release(links: Links) -> None:
    """Tell the source that it is done, and wait until its host has that word.

    :raise SourceEndedError: when it gave up before.
    """
    if not links.source_is_there:
        raise SourceEndedError
    asked, links.stopped = links.stopped, lambda: False
    links.released = True
    if not links.tell_source(shut(0)):
        raise SourceEndedError
    while not links.source_has_it():
        state = links.look_at_source()
        # A source that has read the word ends its connection: perhaps since the last look.
        if state is SourceState.ENDED and links.source_has_it():
            return
        if state is not SourceState.THERE:
            raise SourceEndedError
        if asked():
            raise InterruptedRelayError
        time.sleep(0.0002)


def _await_last_word(links: Links, until: float) -> None:
    try:
        while links.shut is None and time.monotonic() < until:
            links.wait(read=False, write=False)
    except DestinationEndedError:
        if links.shut != 0:
            raise
    if links.shut is None:
        raise DestinationEndedError(f"it has not confirmed completion for {_LAST_WORD:.0f} s")


def _await_source(links: Links) -> None:
    """The source closes its connection when it is through."""
    until = time.monotonic() + _FAREWELL
    while links.source_is_there and time.monotonic() < until:
        time.sleep(0.002)
