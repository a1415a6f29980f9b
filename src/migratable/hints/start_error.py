"""The message of a program that ended at its start, without the option that it echoes."""

from __future__ import annotations

import re

from migratable.problem_facts import StartFacts
from migratable.verdict import Finding

_ECHO = re.compile(r"(?P<option>-[a-z][a-z0-9-]*) (?P<value>\{.*\}|.*?): (?P<said>.*)", re.DOTALL)
_BARE = re.compile(r"(?P<option>-[a-z][a-z0-9-]*): (?P<said>.*)", re.DOTALL)
_IDENTITY = re.compile(r"(?:^|,)id=([^,]+)|\"id\": *\"([^\"]+)\"")


def said(finding: Finding) -> tuple[str, str, str]:
    """A program's last words at its start: option, which of them, message.

    QEMU puts the option before its message as it was written; it would be another message for each
    change of the option.
    """
    text = finding.facts.said if isinstance(finding.facts, StartFacts) else finding.summary
    match = _ECHO.fullmatch(text)
    if match is None:
        bare = _BARE.fullmatch(text)
        return ("", "", text) if bare is None else (bare["option"], "", bare["said"])
    identity = _IDENTITY.search(match["value"])
    which = (identity[1] or identity[2]) if identity else match["value"].partition(",")[0]
    return match["option"], which, match["said"]
