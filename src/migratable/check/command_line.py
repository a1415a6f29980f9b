"""The facts that a check takes from a destination's command line."""

from __future__ import annotations

import itertools

from migratable.profile.model import Profile


def configured(profile: Profile) -> bool:
    """Whether a destination without a stream of its own wants a configuration section.

    Some releases end while they save with the section off (10.0, 11.1).
    """
    words = [word.replace(" ", "") for word in profile.command_line]
    return "migration.send-configuration=off" not in words


def memory_in_files(profile: Profile) -> bool:
    """Whether guest memory is in files, whose pages may be huge: the inert start has none of them.

    ``-mem-path``, ``memory-backend-file``, ``memory-backend-memfd,hugetlb=on``.
    """
    return any(
        word.lstrip("-") == "mem-path" or "memory-backend-file" in word or "hugetlb" in word
        for word in profile.command_line
    )


def uuid(profile: Profile) -> str | None:
    """The value of ``-uuid``, None without one."""
    for word, value in itertools.pairwise(profile.command_line):
        if word in {"-uuid", "--uuid"}:
            return value
    return None
