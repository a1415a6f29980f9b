"""The operations of a host on request; arguments and results are JSON.

The first parameter is told each step.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migratable.errors import CaptureError, HostError, NoCopyError
from migratable.hosts import guests as host_guests
from migratable.hosts.arrival import arrive
from migratable.hosts.looks import look
from migratable.profile.model import Profile
from migratable.qemu.process import private_folder
from migratable.stream import read

if TYPE_CHECKING:
    from migratable.capture.running import Captured

Tell = Callable[[str], None]


def guests(tell: Tell, *, uri: str = "") -> list[dict[str, Any]]:
    """Name every guest that runs here."""
    return [
        {
            "name": one.name,
            "kind": one.kind,
            "pid": one.pid,
            "qmp": one.qmp,
            "problem": one.problem,
        }
        for one in host_guests.guests(uri)
    ]


def guest(tell: Tell, *, name: str, uri: str = "") -> dict[str, Any]:
    """Find a guest: its definition and live command line."""
    found = host_guests.find(name, uri)
    return {**host_guests.definition(found), "live": found.live}


def question(tell: Tell, *, guest: Mapping[str, Any], untried: bool = False) -> str:
    """What a user must agree to before the guest is captured; only reads."""
    asked: list[str] = []

    def refuse(words: str) -> bool:
        asked.append(words)
        return False

    try:
        _captured(guest, refuse, untried)
    except CaptureError:
        if not asked:
            raise
    return asked[0]


def capture(tell: Tell, *, guest: Mapping[str, Any], untried: bool = False) -> dict[str, Any]:
    """Take the guest's device state: its pause, which was agreed to."""
    captured = _captured(guest, lambda words: True, untried)
    profile = captured.profile.to_json()
    profile["stream"] = None
    return {
        "stream": _text(captured.data),
        "facts": captured.facts(),
        "profile": profile,
        "capabilities": sorted(name for name, on in captured.standing.capabilities.items() if on),
        "unchecked": list(captured.unchecked),
    }


def _captured(guest: Mapping[str, Any], confirm: Callable[[str], bool], untried: bool) -> Captured:
    from migratable.capture.running import capture_live  # noqa: PLC0415 -- for sources only

    if guest.get("problem"):
        raise CaptureError(f"{guest['name']}: {guest['problem']}")
    if guest.get("uri"):
        os.environ["LIBVIRT_DEFAULT_URI"] = str(guest["uri"])
    return capture_live(str(guest["live"]), confirm=confirm, untried=untried)


def power_on(tell: Tell, *, guest: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """In the place of a capture: what the same machine would send just after its start."""
    from migratable.profile.collect import collect  # noqa: PLC0415

    argv = list(guest["argv"])
    if not argv:
        raise HostError(f"{guest['name']}: its command line cannot be read; use --sudo")
    line = host_guests.line_of(argv)
    with private_folder() as folder:
        words = _own_program(guest, folder)
        profile = collect(line, program=words, timeout=timeout)
    if not profile.stream:
        raise HostError(f"{guest['name']}: its machine does not save itself: {profile.no_stream}")
    facts = {"release": str(profile.version), "machine": profile.machine, "pause_ms": None}
    document = profile.to_json()
    document["stream"] = None
    return {
        "stream": _text(profile.stream),
        "facts": facts,
        "profile": document,
        "capabilities": [],
        "unchecked": list(profile.unchecked),
    }


def destination(
    tell: Tell,
    *,
    stream: str,
    guest: Mapping[str, Any],
    home: bool = False,
    program: str = "",
    uri: str = "",
    origin: Mapping[str, Any] | None = None,
    hint_seconds: float = 4.0,
    timeout: float = 60.0,
    keep: bool = False,
) -> dict[str, Any]:
    """Say whether the guest loads here: line, profile, check, rehearsal, state afterwards.

    :param home: this is the host that the guest runs on.
    :param program: path of this host's QEMU in the place of the guest's.
    :param origin: what else is known of the machine that sent *stream*.
    :param keep: give what a destination with a remedy saves after its load.
    """
    began = time.monotonic()
    with private_folder() as folder:
        arrived = arrive(
            tell,
            read(base64.b64decode(stream)),
            guest,
            home=_own_program(guest, folder) if home else (),
            program=program,
            uri=uri,
            origin=None if origin is None else Profile.from_json(origin, origin="the source"),
            hint_seconds=hint_seconds,
            timeout=timeout,
            keep=keep,
        )
    return {**arrived, "seconds": round(time.monotonic() - began, 3)}


def _own_program(guest: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """Words that start the guest's program, as it runs on this host, once more.

    :param folder: private; it must live as long as the words are used.
    :raise HostError: when another user could have put it there.
    """
    from migratable.capture.copy import started  # noqa: PLC0415 -- for sources only

    folder.mkdir(mode=0o700)
    try:
        return started(int(guest["pid"]), folder).command
    except NoCopyError as error:
        raise HostError(f"{guest['name']}: {error}") from None


def host(tell: Tell, *, needs: Mapping[str, Any]) -> dict[str, Any]:
    """What this host is and has, as far as *needs* asks."""
    return look(needs)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


OPERATIONS: dict[str, Callable[..., Any]] = {
    "guests": guests,
    "guest": guest,
    "question": question,
    "capture": capture,
    "power_on": power_on,
    "destination": destination,
    "host": host,
}
