"""Start the service and stop it gracefully."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from types import FrameType

import uvicorn

from migratable.errors import ServiceError
from migratable.serve.application import application
from migratable.serve.protocol import HEAD_BYTES, protocol
from migratable.serve.settings import Settings, require_token


def run(settings: Settings, *, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT; requests under way are finished first.

    :param started: called with the service's address as soon as it accepts connections.
    :raise ServiceError: when it cannot listen, or not without a token.
    """
    require_token(settings.host, settings.token)
    listener = _listen(settings)
    with contextlib.closing(listener):
        scheme = "http" if settings.tls is None else "https"
        host, port = listener.getsockname()[:2]
        address = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
        server = _Server(_config(settings), lambda: started(address))
        with _quiet_signals():
            server.run(sockets=[listener])
        if not server.started:
            raise ServiceError("the service did not start; the lines above say why")


def _listen(settings: Settings) -> socket.socket:
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, _, _, _, address = found[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except BaseException:
            listener.close()
            raise
    except (OSError, UnicodeError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ServiceError(f"cannot listen on {settings.host}:{settings.port}: {reason}") from None
    return listener


def _config(settings: Settings) -> uvicorn.Config:
    certificate, key = settings.tls or (None, None)
    limits = settings.limits
    config = uvicorn.Config(
        application(settings),
        http=protocol(limits),
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD_BYTES,
        timeout_keep_alive=max(1, int(limits.idle_time)),
        timeout_graceful_shutdown=max(1, int(limits.stop_time)),
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise ServiceError(f"cannot use the certificate {certificate}: {error}") from None
    return config


class _Server(uvicorn.Server):
    """uvicorn's server, which tells when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening()


@contextlib.contextmanager
def _quiet_signals() -> Iterator[None]:
    """Swallow the signal that uvicorn raises again at its end: the stop was as it should be."""

    def nothing(_number: int, _frame: FrameType | None) -> None:
        pass

    before = {number: signal.signal(number, nothing) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
