"""``-device`` as JSON, in libvirt's form: edits are JSON of QEMU's types too.

QEMU makes the devices of the plain form first and those of JSON after them (``system/vl.c:
qemu_create_cli_devices``), so that a plain one beside them finds no bus of theirs; and a number or
a switch is not taken as text (``qdev_device_add_from_qdict``, ``from_json``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from migratable.commandline import CommandLine, Fields, Option
from migratable.hints import inventory
from migratable.hints.candidate import Candidate, Edit

_NUMBER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|\d+)")
_NUMBERS = ("uint", "int", "size")
_TEXTS = frozenset({"driver", "id", "bus", "addr"})


def typed(candidate: Candidate, line: CommandLine, command: Sequence[str]) -> Candidate:
    """The candidate, its devices in the form of the line's own."""
    if candidate.edit is None or not any(_is_json(option) for option, _, _ in line.devices()):
        return candidate
    return replace(candidate, edit=partial(edited, candidate.edit, tuple(command)))


def edited(edit: Edit, command: tuple[str, ...], line: CommandLine) -> CommandLine:
    """Edit a line; devices that are new or changed are JSON where the line's are."""
    new = edit(line)
    own = [option for option, _, _ in line.devices()]
    if not all(
        any(_is_json(option) for option in options)
        for options in (own, [option for option, _, _ in new.devices()])
    ):
        return new  # none is JSON, or the edit is that none is
    for option, driver, _ in list(new.devices()):
        if any(option is one for one in own):
            continue
        kinds = inventory.properties_of(command, driver)
        document = {key: _value(key, value, kinds) for key, value in _members(option.fields)}
        fields = replace(option.fields, pairs=(), implied=None, json=document)
        new = new.replace(option, option.with_fields(fields))
    return new


def _is_json(option: Option) -> bool:
    return option.fields.json is not None


def _members(fields: Fields) -> list[tuple[str, Any]]:
    if fields.json is not None:
        return list(fields.json.items())
    return list(fields.items())


def _value(key: str, value: Any, kinds: Mapping[str, tuple[str, str]]) -> Any:
    if not isinstance(value, str) or key in _TEXTS:
        return value
    kind = kinds.get(key, ("", ""))[0].strip("<>")
    if kind == "bool" and value in {"on", "off"}:
        return value == "on"
    if kind.startswith(_NUMBERS) and _NUMBER.fullmatch(value):
        return int(value, 0)
    return value
