"""Small edits of a command line as candidates."""

from __future__ import annotations

from migratable.profile.commandline import CommandLine, Fields, Option
from migratable.rehearse.hints.candidate import Candidate


def machine(key: str, value: str | None) -> Candidate:
    """``-machine KEY=VALUE``; None: the key taken out."""

    def edit(line: CommandLine) -> CommandLine:
        return line.with_machine(key, value)

    if key == "type":
        return Candidate(action=f"-machine {value}", edit=edit)
    said = f"-machine without {key}=" if value is None else f"-machine {key}={value}"
    return Candidate(action=said, edit=edit)


def machine_keys(line: CommandLine) -> list[str]:
    """Members of ``-machine`` that are no skeleton, in order."""
    keys = [key for option in line.all("machine") for key, _ in option.fields.items()]
    return [key for key in keys if key not in {"type", "accel", "memory-backend"}]


def removed(option: Option, said: str) -> Candidate:
    """The line without an option."""

    def edit(line: CommandLine) -> CommandLine:
        return line.replace(option)

    return Candidate(action=f"without {said}", edit=edit)


def changed(option: Option, fields: Fields, said: str) -> Candidate:
    """An option with other members."""

    def edit(line: CommandLine) -> CommandLine:
        return line.replace(option, option.with_fields(fields))

    return Candidate(action=said, edit=edit)


def appended(name: str, value: str | None = None) -> Candidate:
    """One more option."""
    said = f"-{name}" if value is None else f"-{name} {value}"

    def edit(line: CommandLine) -> CommandLine:
        return line.append(name, value)

    return Candidate(action=said, edit=edit)
