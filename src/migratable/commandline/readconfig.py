"""``-readconfig FILE``: its sections are options; put them in the option's place.

Format (``qemu_config_foreach`` in ``util/qemu-config.c``)::

    [group]  or  [group "id"]
      key = "value"
    # comment

Groups are those of ``CONFIG_GROUPS``; a file that names another is refused, as QEMU refuses it
(``There is no option group``), so no group can be an option that has no handler.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from migratable.commandline.line import CommandLine, Option
from migratable.commandline.option import Fields
from migratable.facts.options import IMPLIED_KEY
from migratable.facts.properties import CONFIG_GROUPS
from migratable.regular_file import open_regular

_SECTION = re.compile(r"\[\s*([\w-]+)(?:\s+\"([^\"]*)\")?\s*\]")
_MEMBER = re.compile(r"([\w.-]+)\s*=\s*\"([^\"]*)\"")
_LIMIT = 1 << 20


def expand(line: CommandLine) -> CommandLine:
    """Replace every ``-readconfig`` by the options in its file.

    :raise CommandLineError: When the file cannot be read or is malformed.
    """
    options: list[Option] = []
    for option in line.options:
        if option.name == "readconfig":
            options += _read(option)
        else:
            options.append(option)
    return replace(line, options=tuple(options))


def _read(option: Option) -> list[Option]:
    path = Path(option.value or "")
    try:
        with open_regular(path) as stream:
            data = stream.read(_LIMIT + 1)
    except OSError as error:
        raise option.error(
            f"Could not open '{path}': {error.strerror}. The file is a part of the machine: "
            "copy it here from the destination and name its place"
        ) from None
    if len(data) > _LIMIT:
        raise option.error(f"'{path}' has more than {_LIMIT} bytes")
    text = data.decode("utf-8", "replace")
    found: list[tuple[str, str, list[tuple[str, str]]]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        words = raw.strip()
        if not words or words.startswith("#"):
            continue
        if section := _SECTION.fullmatch(words):
            members = [("id", section[2])] if section[2] else []
            found.append((f"{path}:{number}", section[1], members))
        elif (member := _MEMBER.fullmatch(words)) and found:
            found[-1][2].append((member[1], member[2]))
        else:
            raise option.error(f'{path} line {number}: neither a section nor key = "value"')
    return [_option(option, *section) for section in found]


def _option(origin: Option, place: str, group: str, members: list[tuple[str, str]]) -> Option:
    name = CONFIG_GROUPS.get(group)
    if name is None:
        raise origin.error(f"{place}: There is no option group '{group}'")
    implied = IMPLIED_KEY.get(name)
    first = [pair for pair in members if pair[0] == implied]
    rest = [pair for pair in members if pair[0] != implied]
    fields = Fields(pairs=(*first, *rest), implied=implied if first else None)
    return Option(name=name, value=fields.text(), index=origin.index, file=place)
