"""Addresses in the form of QEMU's ``migrate`` and ``-incoming``: ``tcp:…``, ``unix:PATH``."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from migratable.errors import RelayError
from migratable.printable import quoted

_TCP = re.compile(
    r"(?:tcp:(?://)?)?(?:\[(?P<v6>[^\]]+)\]|(?P<host>[^\[\]:/]*)):(?P<port>\d{1,5})/?"
)
_UNIX = re.compile(r"unix:(?://)?(?P<path>/.*|[^/].*)", re.DOTALL)
_OTHER = re.compile(r"(?P<scheme>rdma|exec|fd|file|vsock|x-rdma|tls):")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address to listen on or to connect to.

    :ivar path: of a unix socket; empty for TCP.
    """

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        """As QEMU's ``migrate`` takes it."""
        if self.path:
            return f"unix:{self.path}"
        return (
            f"tcp:[{self.host}]:{self.port}" if ":" in self.host else f"tcp:{self.host}:{self.port}"
        )


def parse(text: str) -> Address:
    """Read an address.

    :raise RelayError: when it is none, or of a kind that cannot be relayed.
    """
    if match := _UNIX.fullmatch(text):
        return Address(path=match["path"])
    if other := _OTHER.match(text):
        raise RelayError(
            f"{text}: {other['scheme']} cannot be relayed; use tcp:HOST:PORT or unix:PATH"
        )
    match = _TCP.fullmatch(text)
    if match is None:
        raise RelayError(f"{quoted(text)} is not an address; write tcp:HOST:PORT or unix:PATH")
    host, port = match["v6"] or match["host"], int(match["port"])
    if not host:
        raise RelayError(
            f"{quoted(text)} names no host; write it out (0.0.0.0 for all of this one's)"
        )
    if port > 65535:
        raise RelayError(f"{quoted(text)}: there is no port {port}")
    return Address(host=host, port=port)


@dataclass(slots=True, kw_only=True)
class Listener:
    """A listening socket; nothing of it stays behind when it is closed.

    :ivar address: with the port that it got, when 0 was asked for.
    """

    socket: socket.socket
    address: Address
    _file: tuple[int, int] | None = None

    def close(self) -> None:
        """Stop listening; a unix socket's file goes too, if it is still ours."""
        self.socket.close()
        if self._file is None:
            return
        path = Path(self.address.path)
        with contextlib.suppress(OSError):
            found = path.lstat()
            if (found.st_dev, found.st_ino) == self._file:
                path.unlink()
        self._file = None


def listen(address: Address) -> Listener:
    """Listen on that address alone.

    :raise RelayError: when that cannot be done.
    """
    try:
        if address.path:
            return _listen_unix(address)
        family, kind, proto, _, where = _resolve(address)
        made = socket.socket(family, kind, proto)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.bind(where)
            made.listen(16)
        except OSError:
            made.close()
            raise
        made.setblocking(False)
        name = made.getsockname()
        return Listener(socket=made, address=Address(host=address.host, port=name[1]))
    except OSError as error:
        raise RelayError(f"cannot listen on {address}: {error.strerror or error}") from None


def _listen_unix(address: Address) -> Listener:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.bind(address.path)
        found = os.lstat(address.path)
        made.listen(16)
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return Listener(socket=made, address=address, _file=(found.st_dev, found.st_ino))


def connect(address: Address, timeout: float) -> socket.socket:
    """Connect to the destination; the socket does not block.

    :raise RelayError: when it cannot be reached.
    """
    try:
        if address.path:
            made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                made.settimeout(timeout)
                made.connect(address.path)
            except OSError:
                made.close()
                raise
        else:
            made = socket.create_connection((address.host, address.port), timeout)
    except OSError as error:
        raise RelayError(
            f"the destination {address} cannot be reached: {error.strerror or error}"
        ) from None
    prepare(made)
    return made


def prepare(connected: socket.socket) -> None:
    """Make a connection non-blocking, and its small messages leave at once."""
    connected.setblocking(False)
    if connected.family != socket.AF_UNIX:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def acknowledge(connected: socket.socket) -> None:
    """Acknowledge at once what was received: a QEMU with Nagle's algorithm waits for it, 40 ms.

    The kernel falls back to delayed acknowledgements by itself, so this is said again and again.
    """
    if connected.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):  # the other side has gone; the next call says so
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _resolve(
    address: Address,
) -> tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]:
    return socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
