"""The program behind a profile, where it is on this machine."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from migratable.commandline import CommandLine, parse
from migratable.errors import CommandLineError

if TYPE_CHECKING:
    from migratable.profile.model import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class AtHand:
    """The destination's own command line with a program that can be started here.

    :ivar line: None when it cannot; then :attr:`why` says so.
    """

    line: CommandLine | None = None
    why: str = ""


def at_hand(profile: Profile) -> AtHand:
    """Find the program that *profile* was taken from, if it is still the same release."""
    from migratable.qemu.program import program_release  # noqa: PLC0415 -- starts programs

    if not profile.command_line:
        return AtHand(why="the profile does not say its command line")
    try:
        line = parse(list(profile.command_line), need_program=False)
    except CommandLineError as error:
        return AtHand(why=f"the profile's command line cannot be read: {error}")
    program = profile.program or line.program
    if not program or shutil.which(program[0]) is None:
        return AtHand(why=f"its program is not on this machine ({' '.join(program) or 'unknown'})")
    found = program_release(program)
    if found != profile.version:
        what = "does not say its release" if found is None else f"is QEMU {found} now"
        return AtHand(why=f"{program[0]} {what}, the profile is of QEMU {profile.version}")
    return AtHand(line=replace(line, program=tuple(program)))
