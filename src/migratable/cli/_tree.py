"""A tree of lines with rich's markup, printed without rich where there is no terminal.

To import rich takes half as long as everything else that ``inspect`` does.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import click

_TAG = re.compile(r"(\\*)(\[[a-z#/@][^[]*?])")


@dataclass(slots=True)
class Tree:
    """A label and what hangs below it."""

    label: str
    children: list[Tree] = field(default_factory=list)

    def add(self, label: str) -> Tree:
        """Hang a new leaf below this one and return it."""
        leaf = Tree(label)
        self.children.append(leaf)
        return leaf

    def lines(self, first: str = "", rest: str = "") -> Iterator[str]:
        """Yield the lines, branches drawn."""
        yield first + self.label
        for number, child in enumerate(self.children, 1):
            last = number == len(self.children)
            yield from child.lines(
                rest + ("└── " if last else "├── "), rest + ("    " if last else "│   ")
            )


def escape(text: str) -> str:
    """Protect what looks like markup; control characters of a hostile stream become visible."""
    shown = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in text)
    return _TAG.sub(r"\1\1\\\2", shown)


def plain(line: str) -> str:
    """Take the markup out."""

    def literal(found: re.Match[str]) -> str:
        slashes, tag = found.groups()
        return "\\" * (len(slashes) // 2) + (tag if len(slashes) % 2 else "")

    return _TAG.sub(literal, line)


def show(lines: Iterator[str]) -> None:
    """Print lines, with colour on a terminal."""
    if not sys.stdout.isatty():
        click.echo("\n".join(map(plain, lines)))
        return
    from rich.console import Console

    console = Console(highlight=False)
    for line in lines:
        console.print(line, soft_wrap=True)
