"""Parse the human monitor's output about guest memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# What stands behind a block's name; the text may be a hostile program's, so nothing is tried twice.
_SIZES = re.compile(
    r"\s(?P<psize>\d{1,19}) (?P<unit>[KMG]?i?B)\s{1,40}0x[0-9a-f]{1,16}\s{1,40}"
    r"0x(?P<used>[0-9a-f]{1,16})\s{1,40}0x(?P<total>[0-9a-f]{1,16})"
)
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class RamBlockInfo:
    """A line of ``info ramblock`` (``migration/ram.c: ram_block_format``), sizes in bytes."""

    name: str
    page_size: int
    used: int
    maximum: int


def ram_blocks(text: str) -> Iterator[RamBlockInfo]:
    """The blocks of ``info ramblock``; those without a name do not migrate."""
    for line in text.splitlines():
        match = _SIZES.search(line)
        name = line[: match.start()].strip() if match else ""
        if match and name:
            yield RamBlockInfo(
                name=name,
                page_size=int(match["psize"]) * _UNITS.get(match["unit"], 1),
                used=int(match["used"], 16),
                maximum=int(match["total"], 16),
            )
