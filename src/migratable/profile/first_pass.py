"""Options that are left out of an inert line must exist all the same.

QEMU looks every option up before it acts on any (the first loop of ``qemu_init``, ``lookup_opt``):
an option that the release does not know ends it at once. What the inert line keeps QEMU checks by
itself; of what it leaves out, the options that not all releases know are shown to the program with
``-version``, with which it ends after looking them up.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence

from migratable.errors import DestinationStartError
from migratable.profile.commandline_line import CommandLine, Option

DATED = frozenset(
    [
        "alt-grab",
        "async-teardown",
        "chroot",
        "clock",
        "ctrl-grab",
        "curses",
        "dumpdtb",
        "enable-fips",
        "jitdump",
        "no-frame",
        "no-kvm",
        "no-quit",
        "perfmap",
        "portrait",
        "realtime",
        "rotate",
        "run-with",
        "runas",
        "sdl",
        "shim",
        "show-cursor",
        "singlestep",
        "tb-size",
        "tdf",
        "win2k-hack",
        "writeconfig",
    ]
)
"""Options of ``commandline_inert._DROPPED`` that not every release and target knows."""

_NOT_THERE = re.compile(r"-\S+: (?:invalid option|Option not supported for this target)$")


def examine(command: Sequence[str], line: CommandLine, *, timeout: float) -> None:
    """Ask the program whether it knows the options that the inert line leaves out.

    :param command: words that start the program.
    :raise DestinationStartError: When it does not, with its own line.
    """
    said = _said(command, (one for one in line.options if one.name in DATED), timeout)
    for text in said:
        found = re.sub(r"^\S*qemu\S*: ", "", text)
        if _NOT_THERE.match(found):
            raise DestinationStartError(
                f"the destination's QEMU does not start; its own words:\n  {found}",
                stderr=(found,),
            )


def _said(command: Sequence[str], options: Iterable[Option], timeout: float) -> list[str]:
    words = [word for option in options for word in (option.words[0], *["x"] * takes_one(option))]
    if not words:
        return []
    try:
        ended = subprocess.run(
            [*command, *words, "-version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []  # the start will tell
    return ended.stderr.decode("utf-8", "replace").splitlines()


def takes_one(option: Option) -> bool:
    """Has the option an argument? Its content is of no concern here and could name files."""
    return option.value is not None
