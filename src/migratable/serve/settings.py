"""What the service is told: where it listens, who may ask, how much it takes."""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from dataclasses import dataclass, field
from pathlib import Path

from migratable.errors import ServiceError
from migratable.printable import quoted

TOKEN_VARIABLE = "MIGRATABLE_TOKEN"  # noqa: S105 -- the variable's name
_TOKEN = re.compile(r"[!-~]{16,512}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much the service takes, of everything. Sizes are bytes, times seconds.

    :ivar stream: largest stream that is taken, and what a compressed one may unpack to.
    :ivar profile: largest profile, as JSON.
    :ivar memory: what one check may allocate (``RLIMIT_DATA`` of its process).
    :ivar check_time: what one check may take.
    :ivar workers: checks at once.
    :ivar waiting: requests that wait for a check or upload at once; more get status 503.
    :ivar connections: open connections; more get status 503.
    :ivar header_time: from a connection's or a request's first byte to the end of its head.
    :ivar idle_time: between two pieces of a body, and for a piece of the answer to be taken.
    :ivar rate: a body's average speed after ``idle_time``, bytes a second; slower ones end.
    :ivar stop_time: for requests under way when the service is stopped.
    """

    stream: int = 1 << 30
    profile: int = 64 << 20
    memory: int = 1 << 30
    check_time: float = 60.0
    workers: int = field(default_factory=lambda: max(1, os.cpu_count() or 1))
    waiting: int = 32
    connections: int = 128
    header_time: float = 15.0
    idle_time: float = 15.0
    rate: int = 16 << 10
    stop_time: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One service.

    :ivar token: what a client must show; None only on loopback.
    :ivar tls: certificate and key, None for plain HTTP.
    :ivar temporary: folder in which uploads are, without names, while they are checked.
    :ivar fleet: fleet file whose matrix is shown.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = field(default=None, repr=False)
    tls: tuple[Path, Path] | None = None
    temporary: Path | None = None
    fleet: Path | None = None
    limits: Limits = field(default_factory=Limits)


def is_loopback(host: str) -> bool:
    """Whether *host*, an address or a name, can only be reached from this machine.

    :raise ServiceError: when the name has no address.
    """
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ServiceError(f"cannot listen on {quoted(host)}: {error}") from None
    return all(ipaddress.ip_address(str(one[4][0])).is_loopback for one in found)


def read_token(path: Path | None) -> str | None:
    """Take the token from a file (its first line) or the environment; never from the command line.

    :raise ServiceError: when it is not there, readable by others, or no token.
    """
    if path is None:
        token = os.environ.get(TOKEN_VARIABLE)
        where = TOKEN_VARIABLE
        if token is None:
            return None
    else:
        where = str(path)
        try:
            if path.is_file() and path.stat().st_mode & 0o007:
                raise ServiceError(f"{path}: others may read the token; chmod 600 {path}")
            with path.open(encoding="utf-8") as file:
                token = file.readline(1024).strip()
        except (OSError, ValueError) as error:
            raise ServiceError(f"cannot read the token: {error}") from None
    if not _TOKEN.fullmatch(token):
        raise ServiceError(
            f"{where}: a token has 16 to 512 printable characters without blanks; "
            "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return token


def require_token(host: str, token: str | None) -> None:
    """Refuse to listen where others can reach it without a token.

    :raise ServiceError: when *host* is no loopback address and there is no token.
    """
    if token is None and not is_loopback(host):
        raise ServiceError(
            f"{host} can be reached from other machines, so a token is needed: "
            f"--token-file FILE, or the environment variable {TOKEN_VARIABLE}"
        )
