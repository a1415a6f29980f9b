"""What a remedy asks for and the command line in the log has already."""

from __future__ import annotations

import re
from dataclasses import dataclass

from migratable.commandline.line import CommandLine
from migratable.commandline.option import is_on
from migratable.commandline.parse import parse
from migratable.errors import CommandLineError
from migratable.explain.grouping import Failure
from migratable.explain.operation import Operation

_SENTENCE = re.compile(r"(?<=[a-z)\]'\"][.;]) +")
_SETTING = re.compile(
    r"(?<![\w.<'\"-])(?P<key>[a-z][\w-]*)=(?P<value>[A-Za-z0-9][\w.+-]*)(?![\w=/…]| stays)"
)
# A sentence with one of these names another way beside the setting.
_OTHER_WAY = re.compile(r"\bor\b")
_FALSE = frozenset({"off", "no", "false", "n"})
LONGEST = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """What of a remedy is still to be done.

    :ivar now: the remedy without the sentences that only ask for what is set.
    :ivar said: a sentence about what is set, "" where nothing asked for is.
    """

    now: str
    said: str = ""


def still_open(now: str, failure: Failure, which: Operation) -> Open:
    """*now* without what the log's command line has.

    In a migration the command line is one side's: then the sentence stays, and it is said that the
    other side is the one to look at.
    """
    asked = {_setting(*found.groups()) for found in _SETTING.finditer(now)}
    if not asked:
        return Open(now=now)
    have = asked & _settings(failure.command)
    if not have:
        return Open(now=now)
    names = ", ".join(sorted(f"{key}={value}" for key, value in have))
    if which in (Operation.MIGRATION, Operation.UNKNOWN):
        return Open(
            now=now,
            said=f"The command line in this log has {names} already: compare the other side's.",
        )
    kept = [part for part in _SENTENCE.split(now) if not _done(part, have)]
    said = f"The command line in this log has {names} already, so that is not what is missing."
    return Open(now=" ".join(kept) if kept else now, said=said)


def _done(sentence: str, have: set[tuple[str, str]]) -> bool:
    """Does *sentence* ask for nothing but what is set?"""
    wanted = {_setting(*found.groups()) for found in _SETTING.finditer(sentence)}
    return bool(wanted) and wanted <= have and not _OTHER_WAY.search(sentence)


def _setting(key: str, value: str) -> tuple[str, str]:
    """A setting as it is compared: QEMU takes ``_`` for ``-`` and several words for on and off."""
    value = value.rstrip(".")
    off = value.lower() in _FALSE
    return key.replace("_", "-"), "on" if is_on(value) else "off" if off else value


def _settings(command: str) -> set[tuple[str, str]]:
    """All settings of a command line, whatever option they belong to."""
    if not command:
        return set()
    try:
        line = parse(command[:LONGEST], need_program=False)
        return set(_of_line(line))
    except CommandLineError:
        return set()


def _of_line(line: CommandLine) -> list[tuple[str, str]]:
    found = []
    for option in line.options:
        if option.value is None:
            continue
        for key, value in option.fields.items():
            if option.name == "cpu" and key.startswith(("+", "-")):
                found.append(_setting(key[1:], "on" if key[0] == "+" else "off"))
            else:
                found.append(_setting(key, value))
    return found
