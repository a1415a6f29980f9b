"""How the lines of a failed load are put together, by release.

Up to 10.1 every cause is a line of its own and the last line is ``load of migration failed:
<strerror>``. From 10.2 the causes are links of that last line, outermost first, except for those
that the code still reports itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from migratable.messages.catalogue import message, text
from migratable.messages.template import Value
from migratable.releases import Release

# glibc's texts; os.strerror follows the host's C library, and the destination's is glibc.
STRERROR = {
    1: "Operation not permitted",
    2: "No such file or directory",
    5: "Input/output error",
    9: "Bad file descriptor",
    11: "Resource temporarily unavailable",
    12: "Cannot allocate memory",
    14: "Bad address",
    16: "Device or resource busy",
    19: "No such device",
    22: "Invalid argument",
    28: "No space left on device",
    32: "Broken pipe",
    34: "Numerical result out of range",
    61: "No data available",
    71: "Protocol error",
    74: "Bad message",
    75: "Value too large for defined data type",
    95: "Operation not supported",
    103: "Software caused connection abort",
    104: "Connection reset by peer",
    110: "Connection timed out",
    111: "Connection refused",
    113: "No route to host",
}


def strerror(errno: int) -> str:
    """The text of an errno (sign ignored) as glibc has it."""
    return STRERROR.get(abs(errno)) or os.strerror(abs(errno))


def failure(
    release: Release, causes: Iterable[tuple[str, dict[str, Value]]], errno: int = 22
) -> tuple[str, ...]:
    """All lines of a failed load, without the program's name.

    :param causes: ``(message id, parameters)`` in the order of that release: up to 10.1 as printed
        (inner first), from 10.2 the links of the chain, outermost first, with separate lines
        anywhere between (they are printed before the chain).
    :param errno: what the loader returned; the caller knows the release's value.
    :raise KnowledgeError: see :func:`migratable.messages.text`.
    """
    lines: list[str] = []
    links: list[str] = []
    for message_id, params in causes:
        wording = message(message_id).wording(release)
        rendered = wording.template.render(params)
        (links if wording.chained else lines).append(rendered)
    closing = text("load-failed", release, error=strerror(errno))
    return (*lines, ": ".join((closing, *links)))
