"""What a program says of its machine types (``query-machines``), asked once for each program."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence

from migratable.commandline import CommandLine, Option
from migratable.commandline.inert.machine import needs_main_ram
from migratable.errors import MigratableError
from migratable.qemu import vmstate_dump
from migratable.qemu.program import Program

_LIMIT = 1 << 20


def main_ram(line: CommandLine, command: Sequence[str]) -> str | None:
    """Name of the main RAM block of a command line's machine (``default_ram_id``).

    :return: None for machines that are too small to need it, that make their memory themselves,
        or whose program does not say.
    """
    if not needs_main_ram(line):
        return None
    known = _default_ram_ids(command)
    name = line.machine or next((one for one, row in known.items() if row.get("default")), "")
    found = known.get(name, {}).get("ram")
    return found if isinstance(found, str) else None


def _default_ram_ids(command: Sequence[str]) -> dict[str, dict[str, object]]:
    """Machine types, their aliases too: ``{"ram": name or None, "default": bool}``."""
    path = vmstate_dump.fact_path(command, ".machines")
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(path.read_bytes()[:_LIMIT])
        if isinstance(found, dict):
            return found
    try:
        rows = _ask(command)
    except MigratableError:
        return {}
    out: dict[str, dict[str, object]] = {}
    for row in rows:
        told = {"ram": row.get("default-ram-id"), "default": bool(row.get("is-default"))}
        for name in (row.get("name"), row.get("alias")):
            if isinstance(name, str):
                out[name] = told
    with contextlib.suppress(OSError):  # no cache is no failure
        vmstate_dump.keep(path, json.dumps(out).encode())
    return out


def _ask(command: Sequence[str]) -> list[dict[str, object]]:
    from migratable.qemu.start import inert_start  # noqa: PLC0415 -- it needs this module

    none = Option(name="machine", value="none", index=1)
    line = CommandLine(program=(command[-1],), options=(none,))
    with (
        inert_start(line, program=Program(command=tuple(command))) as start,
        start.process(timeout=20.0) as qemu,
    ):
        found = qemu.qmp("query-machines")
    return list(found) if isinstance(found, list) else []
