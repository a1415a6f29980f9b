"""Check the answers of another host on arrival: another host is not trusted.

A shape is a type; a tuple of shapes, any of which will do; a list of one shape; a dictionary of
members (a name with ``?`` may be missing; others are not looked at), or ``{str: SHAPE}`` for any
names; a set of the words that may stand there; ``Verdict`` for what its ``to_json`` gives.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from migratable.errors import HostError, MigratableError, ProfileError
from migratable.printable import quoted
from migratable.verdict import Verdict

LONGEST = 512 << 20
"""Bytes of one answer: device state in base64, and a profile with its tables."""
_MOST_VALUES = 4_000_000
_DEEPEST = 8
_NONE = type(None)


class _Plain:
    """Any value of JSON that is not nested deep: facts for reports."""


_TEXTS = [str]
_KINDS = {"libvirt", "qemu"}
_LISTED = {"name": str, "kind": _KINDS, "pid": int, "qmp": str, "problem": str}
_GUEST = {
    **_LISTED,
    "uri": str,
    "argv": _TEXTS,
    "live": str,
    "xml?": str,
    "migratable_xml?": str,
}
_STATE = {
    "stream": str,
    "facts": {
        "release": str,
        "machine": str,
        "pause_ms": (float, _NONE),
        "command_ms?": float,
        "status?": (str, _NONE),
        "guest?": (str, _NONE),
    },
    "profile": {str: object},
    "capabilities": _TEXTS,
    "unchecked": _TEXTS,
}
_ARRIVED = {
    "command_line": _TEXTS,
    "command_line_from": {"libvirt", "live", "same"},
    "command_line_changes": _TEXTS,
    "libvirt_refused?": str,
    "predicted": Verdict,
    "rehearsed": (_NONE, Verdict),
    "verdict": Verdict,
    "after": (str, _NONE),
    "stuck": (str, _NONE),
    "not_rehearsed": str,
    "remedies": [{"command": str, "after": (str, _NONE), "stuck": str, "blocked": bool}],
    "steps": {str: float},
    "profile": (_NONE, {str: object}),
}
_FILE = {
    "there": bool,
    "why": (str, _NONE),
    "kind": str,
    "size": (int, _NONE),
    "format": str,
    "virtual_size?": int,
    "file_system?": str,
    "id?": [int],
    "mtime?": int,
}
_HOST = {
    "time": float,
    "kernel": str,
    "machine": str,
    "root": bool,
    "cpu": {"model": str, "flags": _TEXTS, "count": (int, _NONE), "vendor?": str},
    "kvm": {"there": bool, "why": (str, _NONE), "nested": str, "clocksource": str},
    "memory": {"total": int, "available": int, "free_hugepages": {str: int}},
    "files": {str: _FILE},
    "bridges": {str: bool},
    "networks": {str: bool},
    "sockets": {str: bool},
    "libvirt": str,
    "confinement": {"selinux": str, "apparmor": str},
    "swtpm": str,
    "capabilities": (_NONE, _TEXTS),
    "not_seen": _TEXTS,
}
SHAPES: dict[str, Any] = {
    "ready": {"python": str, "user": int},
    "guests": [_LISTED],
    "guest": _GUEST,
    "question": str,
    "capture": _STATE,
    "power_on": _STATE,
    "destination": _ARRIVED,
    "host": _HOST,
}
"""By operation (:data:`migratable.hosts.operations.OPERATIONS`); ``ready`` is a host's first."""


def parsed(data: bytes) -> Any:
    """Read one answer.

    :raise ValueError: when it is no JSON, too long, too deep or of too many values.
    """
    if len(data) > LONGEST:
        raise ValueError(f"more than {LONGEST} bytes")
    if data.count(b",") + data.count(b"[") + data.count(b"{") > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES} values")
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def checked(operation: str, answer: Any) -> Any:
    """Give an answer back that has its operation's shape.

    :raise HostError: when it has not, with the place.
    """
    _look(answer, SHAPES[operation], f"the answer to {operation!r}")
    profile = answer.get("profile") if isinstance(answer, dict) else None
    if profile is not None:
        from migratable.profile.model import Profile  # noqa: PLC0415 -- for these answers only

        try:
            Profile.from_json(profile, origin="the host")
        except (ProfileError, MigratableError) as error:
            raise HostError(f"sent a profile that cannot be read: {error}") from None
    return answer


def _look(value: Any, shape: Any, where: str) -> None:
    if shape is object:
        return
    if shape is _Plain:
        _plain(value, where, 0)
    elif shape is Verdict:
        _verdict(value, where)
    elif isinstance(shape, tuple):
        _any_of(value, shape, where)
    elif isinstance(shape, list):
        _is(value, list, where)
        for number, one in enumerate(value):
            _look(one, shape[0], f"{where}, item {number}")
    elif isinstance(shape, set):
        if not isinstance(value, str) or value not in shape:
            raise _strange(where, f"one of {', '.join(sorted(shape))}", value)
    elif isinstance(shape, dict):
        _members(value, shape, where)
    else:
        _is(value, shape, where)


def _any_of(value: Any, shapes: tuple[Any, ...], where: str) -> None:
    if value is None and _NONE in shapes:
        return
    others = [shape for shape in shapes if shape is not _NONE]
    _look(value, others[0], where)  # beside None there is one


def _members(value: Any, shape: Mapping[Any, Any], where: str) -> None:
    _is(value, dict, where)
    if str in shape:
        for name, one in value.items():
            _look(one, shape[str], f"{where}, {name[:60]}")
        return
    for name, inner in shape.items():
        plain = name.removesuffix("?")
        if plain in value:
            _look(value[plain], inner, f"{where}, {plain}")
        elif plain == name:
            raise HostError(f"sent an unexpected answer: {where} has no {quoted(plain)}")


def _verdict(value: Any, where: str) -> None:
    from migratable.fleet.results import from_json  # noqa: PLC0415 -- for these answers only

    _is(value, dict, where)
    try:
        from_json(value)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise HostError(f"sent an unexpected answer: {where} is not a verdict ({error})") from None
    _plain([value.get("source"), value.get("destination")], where, -1)
    if value.get("back") is not None:
        _verdict(value["back"], f"{where}, back")


def _is(value: Any, kind: type, where: str) -> None:
    good = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if kind is float:
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        good = good and abs(value) < 1e300 and math.isfinite(value)
    if kind is int and good:
        good = abs(value) < 1 << 64
    if not good:
        raise _strange(where, kind.__name__, value)


def _plain(value: Any, where: str, depth: int) -> None:
    if depth > _DEEPEST:
        raise HostError(f"sent an unexpected answer: {where} is nested too deep")
    if isinstance(value, dict):
        for one in value.values():
            _plain(one, where, depth + 1)
    elif isinstance(value, list):
        for one in value:
            _plain(one, where, depth + 1)
    elif isinstance(value, float):
        _is(value, float, where)


def _strange(where: str, wanted: str, value: Any) -> HostError:
    return HostError(f"sent an unexpected answer: {where} is no {wanted}, but {str(value)[:40]!r}")
