"""The program of a profile, if it is on this machine.

A profile is data, often from another machine: no word of it is ever started. Its program is one of
the lab or of ``PATH`` with the profile's version, or one that the user has started before by naming
it in a command line (:func:`~migratable.qemu.program.was_started`).
"""

from __future__ import annotations

from collections.abc import Sequence
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


def at_hand(profile: Profile, *, program: Sequence[str] = ()) -> AtHand:
    """Find the program that *profile* was taken from, if it is here in the same version.

    :param program: the program to use, as the user named it; its version is not looked at.
    """
    if not profile.command_line:
        return AtHand(why="the profile does not say its command line")
    try:
        line = parse(list(profile.command_line), need_program=False)
    except CommandLineError as error:
        return AtHand(why=f"the profile's command line cannot be read: {error}")
    found = tuple(program) or _started_before(profile, line) or _installed(profile)
    if found:
        return AtHand(line=replace(line, program=found))
    named = " ".join(profile.program or line.program) or "unknown"
    return AtHand(
        why=f"its program ({named}, QEMU {profile.version}) is neither in the lab nor on PATH; "
        "programs named in profiles are never started: name the program with --program, or a "
        "lab release with --release"
    )


def _started_before(profile: Profile, line: CommandLine) -> tuple[str, ...]:
    from migratable.qemu.program import program_release, was_started  # noqa: PLC0415 -- starts

    words = tuple(profile.program or line.program)
    if words and was_started(words) and program_release(words) == profile.version:
        return words
    return ()


def _installed(profile: Profile) -> tuple[str, ...]:
    from migratable.lab import installed  # noqa: PLC0415 -- asks the programs on PATH

    for one in installed(arch=profile.target or None):
        packages = {one.version.package, profile.version.package} - {""}
        if one.version == profile.version and len(packages) < 2:
            return tuple(one.command)
    return ()
