"""The routes of the service, and who may use them."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hmac
import ipaddress
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from migratable import __version__
from migratable.errors import ProfileError
from migratable.fleet.matrix import Matrix
from migratable.profile import bundled
from migratable.profile.store import Store, check_name
from migratable.serve.exchange import Exchange
from migratable.serve.fleet_page import FleetPage
from migratable.serve.openapi import describe
from migratable.serve.pool import Pool
from migratable.serve.problem import Problem, too_busy
from migratable.serve.record import Record
from migratable.serve.settings import Settings
from migratable.serve.upload import received

_KINDS = {
    "application/octet-stream": "stream",
    "application/x-qemu-migration-stream": "stream",
    "application/json": "profile",
}
_PAGE = {"Cache-Control": "no-store"}
_DESTINATIONS = 64
_NAME = 200


def application(settings: Settings) -> ASGIApp:
    """Make the ASGI application."""
    service = _Service(settings)
    routes = [
        Route("/", service.page),
        Route("/matrix", service.matrix),
        Route("/check", service.check, methods=["POST"]),
        Route("/profiles", service.profiles),
        Route("/health", service.health),
        Route("/openapi.json", service.openapi),
    ]
    inner = Starlette(
        routes=routes,
        lifespan=service.lifespan,
        exception_handlers={Problem: _problem, HTTPException: _http, Exception: _bug},
    )
    return _Guard(inner, settings)


class _Service:
    """What the routes do."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._pool = Pool(settings.limits)
        self._record = Record()
        self._fleet = None if settings.fleet is None else FleetPage(settings.fleet)
        self._under_way = 0

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await run_in_threadpool(self._pool.close)
            if self._fleet is not None:
                self._fleet.close()

    async def page(self, _request: Request) -> Response:
        if self._fleet is not None:
            made = await self._fleet.fresh()
            return FileResponse(made.page, headers=_PAGE, media_type="text/html")
        matrix = self._record.matrix()
        return HTMLResponse(await run_in_threadpool(_rendered, matrix), headers=_PAGE)

    async def matrix(self, _request: Request) -> Response:
        if self._fleet is not None:
            made = await self._fleet.fresh()
            return FileResponse(made.document, headers=_PAGE, media_type="application/json")
        matrix = self._record.matrix()
        return JSONResponse(await run_in_threadpool(matrix.to_json), headers=_PAGE)

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__})

    async def openapi(self, _request: Request) -> Response:
        return JSONResponse(describe(self._settings))

    async def profiles(self, _request: Request) -> Response:
        def rows() -> list[dict[str, object]]:
            found: list[dict[str, object]] = [
                {
                    "name": entry.name,
                    "version": entry.version,
                    "machine": entry.machine,
                    "taken": entry.taken,
                    "bundled": False,
                }
                for entry in Store().list()
            ]
            stored = {row["name"] for row in found}
            for name in bundled.names():
                if name not in stored:
                    row: dict[str, object] = dict.fromkeys(("version", "machine", "taken"))
                    found.append({"name": name, **row, "bundled": True})
            return found

        document = {"schema": "migratable.profiles/1", "profiles": await run_in_threadpool(rows)}
        return JSONResponse(document)

    async def check(self, request: Request) -> Response:
        limits = self._settings.limits
        kind = _kind(request)
        to, name = await run_in_threadpool(_question, request)
        if self._under_way >= limits.waiting:
            raise too_busy(f"{self._under_way} checks are in progress")
        self._under_way += 1
        try:
            limit = limits.stream if kind == "stream" else limits.profile
            async with received(request, self._settings, limit) as file:
                verdicts = await self._pool.check(file.fileno(), kind=kind, name=name, to=to)
        finally:
            self._under_way -= 1
        self._record.add(name, verdicts)
        if len(to) == 1:
            return JSONResponse(verdicts[to[0]])
        return JSONResponse({"schema": "migratable.verdicts/1", "verdicts": verdicts})


def _rendered(matrix: Matrix) -> str:
    from migratable.report.matrix_html import render  # noqa: PLC0415 -- few look at it

    return render(matrix.to_json())


def _kind(request: Request) -> str:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in _KINDS:
        raise Problem(
            415,
            "content-type",
            f"content type {given[:100]!r}; send a stream as application/octet-stream or a "
            "profile as application/json",
        )
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(
            415, "content-encoding", "send the body as it is; a compressed stream is recognised"
        )
    return _KINDS[given]


def _question(request: Request) -> tuple[tuple[str, ...], str]:
    """Destinations and the source's name for reports, both only ever names."""
    to = tuple(dict.fromkeys(request.query_params.getlist("to")))
    if not 0 < len(to) <= _DESTINATIONS:
        raise Problem(400, "to", f"name 1 to {_DESTINATIONS} destinations: POST /check?to=PROFILE")
    known = {entry.name for entry in Store().list()} | set(bundled.names())
    for one in to:
        try:
            check_name(one)
        except ProfileError as error:
            raise Problem(400, "bad-name", str(error)) from None
        if one not in known:
            raise Problem(404, "no-profile", f"no profile {one!r}; GET /profiles lists them")
    name = request.query_params.get("name", "upload")
    if not name.isprintable() or not 0 < len(name) <= _NAME:
        raise Problem(400, "bad-name", f"name: 1 to {_NAME} printable characters")
    return to, name


def _problem(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


def _http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    names = {404: "no-path", 405: "method"}
    name = names.get(error.status_code, "http")
    return Problem(
        error.status_code, name, str(error.detail), headers=dict(error.headers or {})
    ).response()


def _bug(_request: Request, _error: Exception) -> Response:
    text = "this is a bug of migratable, not an answer; the service's log has more"
    return Problem(500, "bug", text).response()


class _Guard:
    """Host name, token, and an exchange that always ends."""

    def __init__(self, inner: ASGIApp, settings: Settings) -> None:
        self._inner = inner
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self._settings.limits)
        try:
            self._admit(Request(scope))
        except Problem as problem:
            await problem.response()(scope, exchange.receive, exchange.send)
            return
        try:
            await self._inner(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:  # uvicorn stops, and its grace is over
            if exchange.begun:
                raise
            exchange.stop()
            stopped = Problem(503, "stopping", "the service was stopped before it could answer")
            await stopped.response()(scope, exchange.receive, exchange.send)

    def _admit(self, request: Request) -> None:
        token = self._settings.token
        if token is None:
            self._check_host(request)
        elif request.url.path != "/health" and not _shows(request, token):
            raise Problem(
                401,
                "token",
                "show the service's token: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": 'Bearer, Basic realm="migratable", charset="UTF-8"'},
            )

    def _check_host(self, request: Request) -> None:
        """Without a token, a page from elsewhere must not reach us by a name of its own."""
        host = request.headers.get("host", "").rpartition("@")[2]
        name = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
        if name.lower() in ("localhost", self._settings.host.lower()):
            return
        with contextlib.suppress(ValueError):
            if name and name.replace(".", "").strip("[]:").isalnum() and _literal_loopback(name):
                return
        raise Problem(421, "bad-host", f"this service is localhost, not {host[:100]!r}")


def _literal_loopback(name: str) -> bool:
    """Whether *name* is an address (no look-up is made) of this machine."""
    if not set(name) <= set("0123456789abcdefABCDEF.:[]"):
        return False
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _shows(request: Request, token: str) -> bool:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    value = value.strip()
    if scheme.lower() == "basic":  # browsers know no other; the user's name is free
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, ValueError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(value.encode(), token.encode())
