"""Rewrite options that a release dropped in their new form; the machine stays the same."""

from __future__ import annotations

from collections.abc import Iterator

from migratable.commandline import CommandLine, Option
from migratable.facts.options import IMPLIED_KEY, MERGED
from migratable.facts.removed_options import INSTEAD
from migratable.hints import line_edits
from migratable.hints.candidate import Candidate

_JOINED = MERGED | {"run-with", "accel"}
"""Options whose members may stand in the first of them; ``machine`` has an edit of its own."""
_SILENT = ", with the host's own driver in the place of none"


def candidates(option: Option) -> Iterator[Candidate]:
    """The known replacement; nothing where there is none."""
    found = INSTEAD.get(option.name)
    if found is None:
        return
    name, form = found
    text = form.format(option.value or "")
    if option.name == "soundhw" and "," in (option.value or ""):
        return  # -audio takes one card (hw/audio/soundhw.c: select_soundhw)

    def edit(line: CommandLine) -> CommandLine:
        if name == "machine":
            key, _, value = text.partition("=")
            return line.replace(option).with_machine(key, value)
        if name in _JOINED and any(True for _ in line.all(name)):
            line = line.replace(option)
            for member in text.split(","):
                key, _, value = member.rpartition("=")
                line = line_edits.with_member(line, name, key or IMPLIED_KEY[name], value)
            return line
        return line.replace(option, Option(name=name, value=text))

    old = f"-{option.name} {option.value or ''}".rstrip()
    more = _SILENT if option.name == "soundhw" else ""
    yield Candidate(action=f"-{name} {text} for {old}{more}", edit=edit, sole=True)
