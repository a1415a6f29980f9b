"""A program's machine types (``query-machines``), asked once for each program."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Sequence

from migratable.commandline import CommandLine
from migratable.commandline.inert.machine import needs_main_ram
from migratable.errors import MigratableError
from migratable.qemu import program_facts

_LIMIT = 1 << 20


Rows = list[dict[str, object]]


def main_ram(
    line: CommandLine, command: Sequence[str], ask: Callable[[Sequence[str]], Rows]
) -> str | None:
    """Name of the main RAM block of a command line's machine (``default_ram_id``).

    :param ask: gives what the program says to ``query-machines``.
    :return: None for machines that are too small to need it, that make their memory themselves,
        or whose program does not say.
    """
    if not needs_main_ram(line):
        return None
    known = _default_ram_ids(command, ask)
    name = line.machine or next((one for one, row in known.items() if row.get("default")), "")
    found = known.get(name, {}).get("ram")
    return found if isinstance(found, str) else None


def _default_ram_ids(
    command: Sequence[str], ask: Callable[[Sequence[str]], Rows]
) -> dict[str, dict[str, object]]:
    """Machine types, their aliases too: ``{"ram": name or None, "default": bool}``."""
    path = program_facts.path(command, ".machines")
    with contextlib.suppress(OSError, ValueError):
        document = json.loads(path.read_bytes()[:_LIMIT])
        if isinstance(document, dict):
            return document
    try:
        rows = ask(command)
    except MigratableError:
        return {}
    out: dict[str, dict[str, object]] = {}
    for row in rows:
        told = {"ram": row.get("default-ram-id"), "default": bool(row.get("is-default"))}
        for name in (row.get("name"), row.get("alias")):
            if isinstance(name, str):
                out[name] = told
    with contextlib.suppress(OSError):  # no cache is no failure
        program_facts.keep(path, json.dumps(out).encode())
    return out
