"""Remedies without a program: stored profiles that load the stream.

A machine that has no QEMU cannot try a command line. What it can try are its other profiles: one of
the same program and machine type that loads the guest shows which options do.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import replace

from migratable.check import check
from migratable.hints.changes import of_profile
from migratable.profile.model import Profile
from migratable.stream import Stream
from migratable.verdict import Basis, Hint, Outcome, Severity, Verdict

_MOST = 40


def siblings(
    verdict: Verdict, stream: Stream, profile: Profile, others: Iterable[tuple[str, Profile]]
) -> Verdict:
    """Give the verdict with hints from profiles of the same program that load the stream.

    :param others: names and profiles to look at.
    """
    hints: list[Hint] = []
    for name, other in list(others)[:_MOST]:
        if not _alike(profile, other) or other.command_line == profile.command_line:
            continue
        if check(stream, other).outcome is Outcome.LOADS:
            changed = _changed(profile.command_line, other.command_line)
            hints.append(
                Hint(
                    action=f"{changed} (profile {name})",
                    command=shlex.join(other.command_line),
                    verified=Basis.PREDICTED,
                    changes=of_profile(stream, profile, other),
                )
            )
    if not hints:
        return verdict
    findings = tuple(
        replace(finding, hints=tuple(hints)) if finding.severity is Severity.REFUSES else finding
        for finding in verdict.findings
    )
    return replace(verdict, findings=findings)


def _alike(profile: Profile, other: Profile) -> bool:
    return (profile.version.release, profile.target, profile.machine) == (
        other.version.release,
        other.target,
        other.machine,
    )


def _changed(old: tuple[str, ...], new: tuple[str, ...]) -> str:
    """The words that only the new line has, each with its option."""
    words = [
        f"{option} {value}" if option.startswith("-") else value
        for option, value in zip(("", *new), new, strict=False)
        if value not in old and not value.startswith("-")
    ]
    return " ".join(words) or "another order of options"
