"""What a message means under a condition: an errno, an architecture, words of the line or log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Words of a message for where its conditions hold; all that are given must.

    :ivar error: regular expression over the whole text of the errno, as glibc writes it.
    :ivar arch: the same over the target's name (``aarch64``, ``s390x``).
    :ivar line: regular expression that finds something in the line.
    :ivar log: the same in the failure's lines, QEMU's command line and what stands around.
    :ivar operation: the same over the whole name of what was being done.
    :ivar meaning, now, prevent, side: "" where the message's hold.
    :ivar harmless: the line then tells of no failure.
    """

    error: str = ""
    arch: str = ""
    line: str = ""
    log: str = ""
    operation: str = ""
    meaning: str = ""
    now: str = ""
    prevent: str = ""
    side: str = ""
    harmless: bool = False

    def holds(self, *, error: str, arch: str, line: str, log: str, operation: str) -> bool:
        """Are these facts what the variant is for?"""
        return all(
            not wanted or found(wanted, value)
            for wanted, value, found in (
                (self.error, error, re.fullmatch),
                (self.arch, arch, re.fullmatch),
                (self.operation, operation, re.fullmatch),
                (self.line, line, re.search),
                (self.log, log, re.search),
            )
        )


def variants(entry: dict[str, Any]) -> tuple[Variant, ...]:
    """The variants of a catalogue's entry, the first that holds counts.

    :raise ValueError: an unknown member, or a regular expression that is none.
    """
    found = []
    for table in entry.get("variants", ()):
        try:
            variant = Variant(**table)
            for pattern in (variant.error, variant.arch, variant.line, variant.log):
                re.compile(pattern)
        except (TypeError, re.error) as error:
            raise ValueError(f"variant {table!r}: {error}") from error
        found.append(variant)
    return tuple(found)
