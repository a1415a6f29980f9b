"""Wait for the source: the first connection that begins like a migration stream."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable

from migratable.relay.links import MAGIC, MULTIFD_MAGIC, InterruptedRelayError
from migratable.relay.parse import UnsupportedError

_TICK = 100
_MOST = 64
TLS = "the source speaks TLS, which relay cannot read: switch it off, and relay through a tunnel"


def wait_for_source(
    listener: socket.socket, stopped: Callable[[], bool], say: Callable[[str], None]
) -> tuple[socket.socket, bytes, list[socket.socket], list[socket.socket]]:
    """Give the source's connection, its first bytes, those that are silent yet, multifd's channels.

    All others are sent away.

    :raise UnsupportedError: when what connects is a migration that cannot be relayed.
    :raise InterruptedRelayError: when the user wants an end.
    """
    waiting: dict[int, tuple[socket.socket, bytes]] = {}
    channels: list[socket.socket] = []
    try:
        while True:
            poll = select.poll()
            poll.register(listener, select.POLLIN)
            for number in waiting:
                poll.register(number, select.POLLIN)
            ready = dict(poll.poll(_TICK))
            if stopped():
                raise InterruptedRelayError
            if listener.fileno() in ready:
                _accept(listener, waiting)
            for number in [one for one in ready if one in waiting]:
                connection, first = waiting[number]
                try:
                    data = connection.recv(4 - len(first))
                except (BlockingIOError, InterruptedError):
                    continue
                except OSError:
                    data = b""
                first += data
                if not data:
                    _drop(waiting, number)
                elif first == MAGIC:
                    del waiting[number]
                    silent = [one for one, said in waiting.values() if not said]
                    waiting = {n: one for n, one in waiting.items() if one[1]}
                    found, channels = channels, []
                    return connection, first, silent, found
                elif first.startswith(b"\x16\x03"):
                    raise UnsupportedError(TLS)
                elif first == MULTIFD_MAGIC:  # its main connection is on its way
                    channels.append(waiting.pop(number)[0])
                elif len(first) == 4:
                    say(f"a connection was closed: it begins with {first!r}, not with 'QEVM'")
                    _drop(waiting, number)
                else:
                    waiting[number] = connection, first
    finally:
        for connection in (*channels, *(one for one, _ in waiting.values())):
            connection.close()


def _accept(listener: socket.socket, waiting: dict[int, tuple[socket.socket, bytes]]) -> None:
    with contextlib.suppress(OSError):
        connection, _ = listener.accept()
        if len(waiting) >= _MOST:
            connection.close()
            return
        connection.setblocking(False)
        waiting[connection.fileno()] = connection, b""


def _drop(waiting: dict[int, tuple[socket.socket, bytes]], number: int) -> None:
    waiting.pop(number)[0].close()
