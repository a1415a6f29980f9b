"""The process in which checks run: limited memory, limited time, nothing but reading.

It gets a request with the upload's file descriptor over a socket pair and answers with one JSON
object; :mod:`.pool` is the other end. What may go wrong here (a hostile stream that needs too much
memory, a bug) ends this process and not the service.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from migratable.errors import MigratableError, ProfileError, StreamError

if TYPE_CHECKING:
    from migratable.check.baseline import Baseline
    from migratable.profile.model import Profile
    from migratable.stream import Stream

_LENGTH = struct.Struct("!I")
REQUEST_LIMIT = 64 << 10
_KEPT = 16


def send(connection: socket.socket, message: Mapping[str, Any], fds: tuple[int, ...] = ()) -> None:
    """Send one object, and open files with it."""
    data = json.dumps(message).encode()
    socket.send_fds(connection, [_LENGTH.pack(len(data))], fds)
    connection.sendall(data)


def receive(connection: socket.socket, limit: int) -> tuple[dict[str, Any], list[int]]:
    """Receive one object and the files that came with it.

    :raise EOFError: when the other end is gone.
    """
    head, fds, _, _ = socket.recv_fds(connection, _LENGTH.size, 1)
    while 0 < len(head) < _LENGTH.size:
        head += _some(connection, _LENGTH.size - len(head))
    if not head:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    if length > limit:
        raise ValueError(f"a message of {length} bytes")
    data = bytearray()
    while len(data) < length:
        data += _some(connection, min(length - len(data), 1 << 20))
    return json.loads(data), fds


def _some(connection: socket.socket, size: int) -> bytes:
    data = connection.recv(size)
    if not data:
        raise EOFError
    return data


class _Rejected(Exception):  # noqa: N818 -- carries an answer
    """The upload is at fault: an error for the client."""

    def __init__(self, status: int, error: str, message: str, **more: Any) -> None:
        super().__init__(message)
        self.answer = {"status": status, "error": error, "message": message, **more}


class _Profiles:
    """Destinations by name, the last ones kept."""

    def __init__(self) -> None:
        self._kept: dict[str, Profile | Baseline] = {}
        self._state = (0, 0)

    def get(self, name: str) -> Profile | Baseline:
        from migratable.check.baseline import Baseline  # noqa: PLC0415 -- after the limits
        from migratable.profile import bundled  # noqa: PLC0415
        from migratable.profile.store import Store  # noqa: PLC0415

        store = Store()
        status = store.path.stat() if store.path.exists() else None
        state = (0, 0) if status is None else (status.st_mtime_ns, status.st_size)
        if state != self._state:
            self._kept.clear()
            self._state = state
        if name in self._kept:
            return self._kept[name]
        stored = name in {entry.name for entry in store.list()}
        if not stored and name not in bundled.names():
            raise _Rejected(404, "no-profile", f"no profile {name!r}; GET /profiles lists them")
        if len(self._kept) >= _KEPT:
            self._kept.pop(next(iter(self._kept)))
        profile = store.load(name) if stored else bundled.load(name)
        prepared = profile.loader and Baseline(profile, profile.loader)
        return self._kept.setdefault(name, prepared or profile)


def _upload(fd: int, request: Mapping[str, Any]) -> tuple[Stream, Mapping[str, Any]]:
    """Open the source: a stream in whatever container, or the stream in a profile."""
    from migratable.profile.model import Profile  # noqa: PLC0415
    from migratable.stream import read  # noqa: PLC0415
    from migratable.stream.containers import open_data  # noqa: PLC0415
    from migratable.stream.reader import read_bytes  # noqa: PLC0415

    facts: dict[str, Any] = {"name": request["name"]}
    with mmap.mmap(fd, 0, access=mmap.ACCESS_READ) as mapped:
        if request["kind"] == "profile":
            profile = Profile.loads(mapped[:], origin="the upload")
            if not profile.stream:
                reason = profile.no_stream or "it has none"
                raise _Rejected(422, "no-stream", f"the profile cannot be a source: {reason}")
            return read(profile.stream), {**facts, "profile": True}
    view = memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
    image = open_data(view, name="the upload", limit=int(request["limit"]))
    stream = read_bytes(image.data, container=image.kind, origin=image.origin, facts=image.facts)
    return stream, facts


def _answer(fd: int, request: Mapping[str, Any], profiles: _Profiles) -> dict[str, Any]:
    from migratable.check import check  # noqa: PLC0415 -- after the limits are set

    destinations = {name: profiles.get(name) for name in request["to"]}
    try:
        stream, facts = _upload(fd, request)
        verdicts = {
            name: check(stream, profile, source=facts).to_json()
            for name, profile in destinations.items()
        }
    except StreamError as error:
        kind = type(error).__name__.removesuffix("Error").lower()
        raise _Rejected(
            422, kind, str(error), offset=error.offset, path=error.path or None
        ) from None
    except ProfileError as error:
        raise _Rejected(422, "profile", str(error)) from None
    return {"verdicts": verdicts}


def _limit(memory: int, file_size: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size, file_size))


def _one(fd: int, request: Mapping[str, Any], profiles: _Profiles) -> tuple[dict[str, Any], bool]:
    """Answer one request; False when this process is better not used again."""
    try:
        return _answer(fd, request, profiles), True
    except _Rejected as rejected:
        return {"problem": rejected.answer}, True
    except (MemoryError, RecursionError):
        text = f"the check needs more than the {request['memory']} bytes that the service allows"
        return {"problem": {"status": 422, "error": "too-costly", "message": text}}, False
    except MigratableError as error:
        return {"problem": {"status": 500, "error": "failed", "message": str(error)}}, True
    except Exception:  # noqa: BLE001 -- a bug is the service's, never an answer
        traceback.print_exc()
        text = "this is a bug of migratable, not an answer; the service's log has more"
        return {"problem": {"status": 500, "error": "bug", "message": text}}, False


def main() -> None:
    """Answer requests until the other end goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the service, which ends us
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        profiles = _Profiles()
        limited = good = False
        while not limited or good:
            try:
                request, fds = receive(connection, REQUEST_LIMIT)
            except (EOFError, OSError):
                return
            if not limited:
                _limit(int(request["memory"]), int(request["limit"]))
                limited = True
            # If the service is killed, this process ends too.
            signal.alarm(int(request["time"]) + 5)
            try:
                answer, good = _one(fds[0], request, profiles)
            finally:
                for fd in fds:
                    os.close(fd)
            try:
                send(connection, {**answer, "last": not good})
            except OSError:
                return
            signal.alarm(0)


if __name__ == "__main__":
    main()
