"""The facts that a check takes from a destination's command line."""

from __future__ import annotations

import itertools

from migratable.profile.model import Profile


def configured(profile: Profile) -> bool:
    """Whether a destination without a stream of its own wants a configuration section.

    10.0 and 11.1 die while they save with the section off.
    """
    words = [word.replace(" ", "") for word in profile.command_line]
    return "migration.send-configuration=off" not in words


def uuid(profile: Profile) -> str | None:
    """The value of ``-uuid``, None without one."""
    for word, value in itertools.pairwise(profile.command_line):
        if word in {"-uuid", "--uuid"}:
            return value
    return None
