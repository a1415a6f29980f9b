"""What people and web pages put around a line: tags, cells of tables, quotes of their language."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Tags of HTML that begin another line, and those that stand inside one. libvirt's XML has none.
_BLOCK = re.compile(
    r"</?(?:br|p|div|li|ul|ol|tr|td|th|table|pre|blockquote|h[1-6])\b[^<>]{0,200}>", re.I
)
_INLINE = re.compile(
    r"</?(?:code|b|i|em|strong|span|tt|kbd|samp|font|a|u)(?:\s[^<>]{0,500})?/?>", re.I
)
# A row of a table: Markdown's, mysql's, OpenStack's client's.
_ROW = re.compile(r"\s*\|.*\|\s*$")
_CELL = re.compile(r"\s*(?<!\|)\|(?!\|)\s*")
# Quotes and stops of other languages as those that programs print.
_SIGNS = str.maketrans(
    {
        "\u201c": '"', "\u201d": '"', "\u201e": '"', "\u00ab": '"', "\u00bb": '"',
        "\u300c": '"', "\u300d": '"', "\u2018": "'", "\u2019": "'",
        "\uff1a": ": ", "\uff0c": ", ", "\u3001": ", ", "\u3002": ". ", "\uff1b": "; ",
        "\uff08": "(", "\uff09": ")", "\u3010": "[", "\u3011": "]",
    }
)  # fmt: skip


def plain(line: str) -> Iterator[str]:
    """The texts of *line* without what is written around them."""
    if not line.isascii():
        line = line.translate(_SIGNS)
    if "<" in line:
        line = _INLINE.sub("", _BLOCK.sub("\n", line))
    if "**" in line:
        line = _BOLD.sub(r"\1", line)
    for part in line.split("\n"):
        if _ROW.match(part):
            yield from (cell for cell in _CELL.split(part.strip().strip("|")) if cell)
        elif part:
            yield part


_BOLD = re.compile(r"\*\*(\S[^*]{0,1000})\*\*")
