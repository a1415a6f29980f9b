"""The two connections, and all waiting on them.

One thread: it waits for the source's data or for room towards the destination, and meanwhile
hears what the destination says, who else connects, and whether the user wants an end.
"""

from __future__ import annotations

import contextlib
import enum
import fcntl
import select
import socket
import struct
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from migratable.relay.address import acknowledge
from migratable.relay.return_path import OUR_PING, Message, Splitter, shut

_TICK = 0.1
_FAREWELL = 5.0
_MOST_STRANGERS = 64
_TLS = b"\x16\x03"
MULTIFD_MAGIC = b"\x11\x22\x33\x44"
"""First bytes of multifd's further connections (``migration/multifd.h``)."""
MAGIC = b"QEVM"


class InterruptedRelayError(Exception):
    """The user wants an end."""


class DestinationEndedError(Exception):
    """The destination ended its connection, or said that it failed."""


class SecondConnectionError(Exception):
    """The source has opened a further connection, which begins as multifd's do."""


class SourceState(enum.Enum):
    """What the source's connection shows.

    ``ENDED``: and it left nothing unread that was sent to it; a connection that ends with unread
    data is reset (Linux: ``tcp_close``, ``unix_release_sock``).
    """

    THERE = enum.auto()
    TALKS = enum.auto()
    ENDED = enum.auto()
    RESET = enum.auto()


@dataclass(slots=True, kw_only=True)
class Links:
    """Both sides of one migration.

    :ivar stopped: whether the user wants an end; looked at ten times a second.
    :ivar tick: called as often, and at each filling of the buffer.
    :ivar return_path: whether the source reads what the destination says.
    :ivar pong: the destination has come to our ping.
    :ivar shut: the destination's last message, None before it.
    :ivar released: the source was told that the destination is done: it stands still.
    :ivar received: bytes from the source.
    :ivar strangers: connections that have not said yet what they are.
    :ivar channels: multifd's.
    """

    source: socket.socket
    listener: socket.socket
    stopped: Callable[[], bool]
    tick: Callable[[], None]
    destination: socket.socket | None = None
    return_path: bool = False
    pong: bool = False
    shut: int | None = None
    released: bool = False
    received: int = 0
    strangers: list[socket.socket] = field(default_factory=list)
    channels: list[socket.socket] = field(default_factory=list)
    _splitter: Splitter = field(default_factory=Splitter)

    # -- waiting --------------------------------------------------------------------------------

    def wait(self, *, read: bool, write: bool, seconds: float = _TICK) -> tuple[bool, bool]:
        """Wait a while; whether the source has data, or an end, and the destination has room.

        :raise DestinationEndedError: when it has no use for more.
        :raise InterruptedRelayError: when the user wants an end.
        """
        poll = select.poll()
        if read:
            poll.register(self.source, select.POLLIN)
        poll.register(self.listener, select.POLLIN)
        for stranger in self.strangers:
            poll.register(stranger, select.POLLIN)
        destination = self.destination
        if destination is not None:
            poll.register(destination, select.POLLIN | (select.POLLOUT if write else 0))
        ready = dict(poll.poll(seconds * 1000))
        if self.stopped():
            raise InterruptedRelayError
        self.tick()
        there = 0 if destination is None else ready.get(destination.fileno(), 0)
        if there & ~select.POLLOUT:
            self._hear()
        if self.listener.fileno() in ready or any(
            stranger.fileno() in ready for stranger in self.strangers
        ):
            self._look_at_strangers()
        return self.source.fileno() in ready, bool(there & select.POLLOUT)

    def _hear(self) -> None:
        """Take the destination's messages, and hand on those that are not ours."""
        assert self.destination is not None
        try:
            data = self.destination.recv(1 << 16)
            acknowledge(self.destination)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            raise DestinationEndedError("it closed its connection")
        try:
            for said in self._splitter.feed(data):
                if said.kind == Message.PONG and said.value == OUR_PING:
                    self.pong = True
                elif said.kind == Message.SHUT:
                    self.shut = said.value
                elif self.return_path:
                    self.tell_source(said.raw)
        except ValueError as error:
            raise DestinationEndedError(f"it sent no valid return path message: {error}") from None
        if self.shut:
            raise DestinationEndedError("it reported that the load failed")

    def _look_at_strangers(self) -> None:
        """Who else connects: multifd's channels end all, others are sent away."""
        while True:
            try:
                stranger, _ = self.listener.accept()
            except OSError:
                break
            if len(self.strangers) >= _MOST_STRANGERS:
                stranger.close()
                continue
            stranger.setblocking(False)
            self.strangers.append(stranger)
        for stranger in list(self.strangers):
            try:
                first = stranger.recv(4)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError:
                first = b""
            self.strangers.remove(stranger)
            if first == MULTIFD_MAGIC or first.startswith(_TLS):
                self.channels.append(stranger)
                raise SecondConnectionError
            stranger.close()

    # -- the source -----------------------------------------------------------------------------

    def receive(self, buffer: memoryview) -> int:
        """Wait for data of the source; bytes, 0 at its end."""
        self.wait(read=False, write=False, seconds=0)
        while True:
            try:
                count = self.source.recv_into(buffer)
                acknowledge(self.source)
            except (BlockingIOError, InterruptedError):
                self.wait(read=True, write=False)
                continue
            except OSError:
                count = 0
            self.received += count
            return count

    def receive_soon(self, seconds: float) -> bytes | None:
        """Data of the source that comes soon; None when none does, empty at its end."""
        until = time.monotonic() + seconds
        while True:
            try:
                data = self.source.recv(1 << 18)
                acknowledge(self.source)
            except (BlockingIOError, InterruptedError):
                left = until - time.monotonic()
                if left <= 0:
                    return None
                self.wait(read=True, write=False, seconds=min(left, _TICK))
                continue
            except OSError:
                data = b""
            self.received += len(data)
            return data

    def look_at_source(self) -> SourceState:
        """Look at the source's connection; an error of it is told once."""
        try:
            more = self.source.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return SourceState.THERE
        except OSError:
            return SourceState.RESET
        return SourceState.TALKS if more else SourceState.ENDED

    @property
    def source_is_there(self) -> bool:
        """Whether the source has neither ended its connection nor sent more."""
        return self.look_at_source() is SourceState.THERE

    def tell_source(self, message: bytes) -> bool:
        """Send a message of the return path; false when the source takes none any more."""
        try:
            self.source.setblocking(True)
            self.source.settimeout(5)
            self.source.sendall(message)
        except OSError:
            return False
        finally:
            with contextlib.suppress(OSError):
                self.source.setblocking(False)
        return True

    def source_has_it(self) -> bool:
        """Whether the source's kernel has taken all that was sent to it."""
        try:
            left = fcntl.ioctl(self.source, termios.TIOCOUTQ, struct.pack("i", 0))
        except OSError:
            return True
        return not struct.unpack("i", left)[0]

    # -- the destination ------------------------------------------------------------------------

    def send(self, data: memoryview | bytes) -> None:
        """Send all of it to the destination.

        :raise DestinationEndedError: when it has no use for more.
        """
        assert self.destination is not None
        view = memoryview(data)
        while view:
            try:
                view = view[self.destination.send(view) :]
            except (BlockingIOError, InterruptedError):
                self.wait(read=False, write=True)
            except OSError as error:
                self._last_words()
                raise DestinationEndedError(f"{error.strerror or error}") from None

    def _last_words(self) -> None:
        """Read what the destination said before it ended."""
        with contextlib.suppress(DestinationEndedError):
            for _ in range(8):
                self._hear()

    def close(self, *, failed: bool) -> None:
        """End both connections.

        :param failed: say so to the source, if it listens.
        """
        if failed and self.return_path:
            self.tell_source(shut(1))
        _end(self.source)
        if self.channels:
            self._let_channels_end()
        for one in (*self.strangers, *self.channels, self.destination):
            if one is not None:
                _end(one)

    def _let_channels_end(self) -> None:
        """Leave multifd's channels to the source, which ends them once its main connection is gone.

        A source of 5.2 whose channels end first hangs with its monitor and its guest
        (``migration/multifd.c: multifd_send_sync_main`` waits for a thread that is gone).
        """
        until = time.monotonic() + _FAREWELL
        while self.channels and time.monotonic() < until:
            poll = select.poll()
            for one in (self.listener, *self.strangers, *self.channels):
                poll.register(one, select.POLLIN)
            poll.poll(_TICK * 1000)
            with contextlib.suppress(SecondConnectionError):
                self._look_at_strangers()
            for channel in list(self.channels):
                try:
                    ended = not channel.recv(1 << 16)
                except (BlockingIOError, InterruptedError):
                    continue
                except OSError:
                    ended = True
                if ended:
                    self.channels.remove(channel)
                    channel.close()


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
