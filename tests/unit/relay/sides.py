"""A source and a destination that are threads, and the relay between them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from migratable.relay import Judge, Result, Settings, run
from migratable.relay.address import Address, listen, parse
from migratable.relay.return_path import OPEN, PING, Splitter, shut

SHUT, PONG = 1, 2


@dataclass(slots=True, kw_only=True)
class Destination:
    """Takes a stream as QEMU does: it answers pings, and says that it is done at the end.

    :ivar end: bytes after which it is; it never comes if the relay aborts.
    :ivar opened: the relay opens the return path, since the source does not.
    :ivar refuses: it says that the load failed when a ping comes.
    :ivar silent: it refuses as releases before 9.1 do, and only ends.
    :ivar dies_after: bytes after which it ends without a word.
    :ivar dies_at_ping: it ends when it has answered.
    """

    end: int
    opened: bool = False
    refuses: bool = False
    silent: bool = False
    dies_after: int = 1 << 60
    dies_at_ping: bool = False
    got: bytearray = field(default_factory=bytearray)
    started: bool = False
    connected: bool = False

    def serve(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            self.connected = True
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        pinged = 0
        while data := connection.recv(1 << 16):
            self.got += data
            if len(self.got) >= self.dies_after:
                return
            at = self.got.find(PING)
            if at >= 0 and not pinged:
                pinged = 1
                if self.silent:
                    return
                if self.refuses:
                    connection.sendall(shut(1))
                    return
                connection.sendall(bytes([0, PONG, 0, 4]) + PING[-4:])
                if self.dies_at_ping:
                    return
            extra = (len(OPEN) if self.opened else 0) + (len(PING) if at >= 0 else 0)
            if len(self.got) >= self.end + extra:
                self.started = True
                connection.sendall(shut(0))
                return


@dataclass(slots=True, kw_only=True)
class Source:
    """Writes a stream, and reads the return path if it has one.

    :ivar said: messages of the return path.
    :ivar completed: as QEMU's: all is written, and with a return path it was told so.
    """

    data: bytes
    return_path: bool = True
    dies_after: int | None = None
    goes_before_the_end: bool = False
    said: list[tuple[int, int]] = field(default_factory=list)
    completed: bool = False

    def send(self, address: Address) -> None:
        with contextlib.suppress(OSError):
            self._send(address)

    def _send(self, address: Address) -> None:
        with socket.create_connection((address.host, address.port)) as connection:
            connection.sendall(self.data[: self.dies_after])
            if self.dies_after is not None:
                return
            if not self.return_path:
                self.completed = True
                return
            if self.goes_before_the_end:
                connection.shutdown(socket.SHUT_RDWR)
                return
            splitter = Splitter()
            while data := connection.recv(4096):
                for one in splitter.feed(data):
                    self.said.append((one.kind, one.value))
                    if one.kind == SHUT:
                        self.completed = one.value == 0
                        return


def relayed(
    judge: Judge,
    source: Source,
    destination: Destination,
    *,
    first: Callable[[Address], object] | None = None,
    stopped: Callable[[], bool] = lambda: False,
    **settings: Any,
) -> tuple[Result, list[str]]:
    """Relay between the two; what the relay said meanwhile is given too.

    :param first: called with the relay's address before the source.
    """
    said: list[str] = []
    here = listen(parse("tcp:127.0.0.1:0"))
    with socket.create_server(("127.0.0.1", 0)) as there:
        ends = threading.Thread(target=destination.serve, args=(there,), daemon=True)
        ends.start()
        if first is not None:
            first(here.address)
        starts = threading.Thread(target=source.send, args=(here.address,), daemon=True)
        starts.start()
        try:
            result = run(
                Settings(
                    listener=here,
                    to=Address(host="127.0.0.1", port=there.getsockname()[1]),
                    judge=judge,
                    **settings,
                ),
                stopped=stopped,
                say=said.append,
            )
        finally:
            here.close()
        starts.join(30)
        there.shutdown(socket.SHUT_RDWR)
    ends.join(30)
    assert not starts.is_alive()
    assert not ends.is_alive()
    return result, said
