"""Small edits of a command line as candidates."""

from __future__ import annotations

from collections import Counter

from migratable.commandline import CommandLine, Fields, Option
from migratable.commandline.line import global_of
from migratable.errors import MigratableError
from migratable.facts.options import MERGED
from migratable.hints.candidate import Candidate
from migratable.verdict import Side


def machine(key: str, value: str | None) -> Candidate:
    """``-machine KEY=VALUE``; None: the key taken out."""

    def edit(line: CommandLine) -> CommandLine:
        return line.with_machine(key, value)

    if key == "type":
        return Candidate(action=f"-machine {value}", edit=edit)
    said = f"-machine without {key}=" if value is None else f"-machine {key}={value}"
    return Candidate(action=said, edit=edit)


def no_machine_type(name: str) -> Candidate:
    """The destination's program does not have the machine type."""
    return Candidate(
        action=f"this QEMU has no machine type {name}: a release that has it, or restart the "
        "guest with a machine type that both sides have",
        side=Side.SOURCE,
        needs_guest_restart=True,
    )


def machine_keys(line: CommandLine) -> list[str]:
    """Members of ``-machine`` that are no skeleton, in order."""
    keys = [key for option in line.all("machine") for key, _ in option.fields.items()]
    return [key for key in keys if key not in {"type", "accel", "memory-backend"}]


def removed(option: Option, said: str) -> Candidate:
    """The line without an option."""

    def edit(line: CommandLine) -> CommandLine:
        return line.replace(option)

    return Candidate(action=f"without {said}", edit=edit)


def without_device(line: CommandLine, option: Option) -> CommandLine:
    """The line without a ``-device`` and all that sits on its buses."""
    names = {option.fields.get("id")} - {None}
    line = line.replace(option)
    found = True
    while found:
        found = False
        for one, _, identity in list(line.devices()):
            bus = one.fields.get("bus") or ""
            if bus and (bus in names or bus.rpartition(".")[0] in names):
                line = line.replace(one)
                names.add(identity or None)
                found = True
    return line


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


def with_option(line: CommandLine, name: str, value: str) -> CommandLine:
    """One option of that name, in the place of those that there are."""
    options = list(line.all(name))
    for option in options[1:]:
        line = line.replace(option)
    if not options:
        return line.append(name, value)
    return line.replace(options[0], Option(name=name, value=value, spelled=options[0].spelled))


def with_member(line: CommandLine, name: str, key: str, value: str) -> CommandLine:
    """A member of an option of which QEMU makes one (``-m``), its others kept."""
    options = list(line.all(name))
    if not options:
        return line.append(name, value)
    return line.replace(options[-1], options[-1].with_fields(options[-1].fields.set(key, value)))


# What differs

Place = tuple[str, str, str]
"""An option, which of them (id, driver, number), and a member of it."""


def differences(old: CommandLine, new: CommandLine) -> frozenset[Place]:
    """Where two lines differ, whatever the order of their options."""
    before, after = _members(old), _members(new)
    every = before.keys() | after.keys()
    return frozenset(one for one in every if before.get(one) != after.get(one))


def gone(old: CommandLine, new: CommandLine) -> frozenset[Place]:
    """Members that an option has lost which is still there."""
    before, after = _members(old), _members(new)
    return frozenset(
        one for one in before.keys() - after.keys() if one[2] and (one[0], one[1], "") in after
    ) | frozenset(one for one in before.keys() - after.keys() if one[0] == "global")


def _members(line: CommandLine) -> dict[Place, str]:
    found: dict[Place, str] = {}
    count: Counter[tuple[str, str]] = Counter()
    for option in line.options:
        if option.name == "global":
            driver, prop, value = global_of(option)
            found[option.name, driver, prop] = value
            continue
        try:
            fields = list(option.fields.items())
        except MigratableError:
            fields = [("", option.value or "")]
        known = dict(fields)
        which = known.get("id") or known.get("driver") or ""
        if option.name not in MERGED:
            count[option.name, which] += 1
            which += f"#{count[option.name, which]}"
        found[option.name, which, ""] = ""
        found.update({(option.name, which, key): value for key, value in fields})
    return found
