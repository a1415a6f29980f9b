"""Test whether a program knows the options that the inert form leaves out.

QEMU looks every option up before it acts on any (the first loop of ``qemu_init``, ``lookup_opt``):
an option that the release does not know ends it at once. What the inert line keeps QEMU checks by
itself. When it leaves out options that not all releases know, all options are shown to the program
behind ``-version``: it looks them up, then acts on the first, and ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from migratable.commandline.line import IMAGE, CommandLine, Option
from migratable.errors import DestinationStartError
from migratable.facts.options import DATED, OPTIONS
from migratable.qemu.launch import answers
from migratable.qemu.start_errors import start_message


class HostOptionError(Exception):
    """The program refuses the line for an option of the host's side, or it may be for that.

    :ivar error: what it said.
    """

    def __init__(self, error: DestinationStartError) -> None:
        super().__init__(str(error))
        self.error = error


_NOT_THERE = re.compile(r"-\S+: invalid option$")


def examine(command: Sequence[str], line: CommandLine, *, timeout: float) -> None:
    """Ask the program whether it knows the options that the inert line leaves out.

    :param command: words that start the program.
    :raise HostOptionError: When it does not, with its own line.
    """
    if not any(option.name in DATED or option.name not in OPTIONS for option in line.options):
        return
    for text in _said(command, line.options, timeout):
        found = re.sub(r"^\S*qemu\S*: ", "", text)
        if _NOT_THERE.match(found):
            raise HostOptionError(
                DestinationStartError(start_message("", (found,)), stderr=(found,))
            )


def _said(command: Sequence[str], options: Iterable[Option], timeout: float) -> list[str]:
    words = ["-version"]
    for option in options:
        words += option.words[:1]
        if option.value is not None and option.spelled != IMAGE:
            words.append("x")  # nothing is looked at behind -version
    try:
        return answers([*command, *words], timeout=timeout).stderr.splitlines()
    except OSError:
        return []  # the start will tell
