"""``-set GROUP.ID.ARGUMENT=VALUE``: put the value into its option, as ``qemu_set_option`` does.

It is done before anything else is looked at, so that no handler can be gone round; QEMU gets none.
"""

from __future__ import annotations

import re
from dataclasses import replace

from migratable.commandline.line import CommandLine, Option
from migratable.facts.properties import CONFIG_GROUPS

_SET = re.compile(r"([^.]{1,63})\.([^.]{1,63})\.([^=]{1,63})=(.*)", re.S)
_ARGUMENT = re.compile(r"[\w.+-]+")


def fold(line: CommandLine) -> CommandLine:
    """Give the command line without ``-set``.

    :raise CommandLineError: When one is malformed or its option is not there, as QEMU refuses it.
    """
    options: list[Option] = []
    for option in line.options:
        if option.name != "set":
            options.append(option)
            continue
        match = _SET.fullmatch(option.value or "")
        if match is None:
            raise option.error(f'can\'t parse: "{option.value}"')
        group, identity, argument, value = match.groups()
        name = CONFIG_GROUPS.get(group)
        if name is None:
            raise option.error(f"There is no option group '{group}'")
        if argument == "id" or not _ARGUMENT.fullmatch(argument):
            raise option.error(f"Invalid parameter '{argument}'")
        place = next(
            (
                n
                for n, option in enumerate(options)
                if option.name == name and _id(option) == identity
            ),
            None,
        )
        if place is None:
            raise option.error(
                f'there is no {group} "{identity}" defined before it in the plain form'
            )
        options[place] = options[place].with_fields(options[place].fields.set(argument, value))
    return replace(line, options=tuple(options))


def _id(option: Option) -> str | None:
    """The id of an option in the plain form: JSON forms are no option groups."""
    fields = option.fields
    return fields.get("id") if fields.json is None else None
