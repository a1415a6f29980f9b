"""A remedy as text, the same in every command."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator

from rich.padding import Padding
from rich.text import Text

from migratable.verdict import Basis, Hint, Outcome, Side, Verdict

_STYLE = {Outcome.LOADS: "bold green", Outcome.REFUSED: "bold red", Outcome.UNKNOWN: "bold yellow"}


_NARROW = 100


def piped_width() -> int:
    """Columns of text that goes to no terminal: ``COLUMNS``, else 100."""
    text = os.environ.get("COLUMNS", "")
    return max(40, int(text)) if text.isdigit() else _NARROW


def hint_lines(hint: Hint, commands: set[str]) -> Iterator[Padding]:
    """A remedy, how it was tried, and its command line.

    :param commands: those that were shown already; it adds its own.
    """
    tried = {None: "not tried", Basis.PREDICTED: "checked", Basis.REHEARSED: "rehearsed"}
    label = f"Fix ({tried[hint.verified]})"
    where = f"{hint.side} only" if hint.side is Side.DESTINATION else f"on the {hint.side}"
    goes_on = ", no guest restart needed"
    if hint.verified is None:  # advice: what it takes is not known
        where, goes_on = f"on the {hint.side}", ""
    if hint.needs_guest_restart:
        goes_on = ", the guest must restart"
    if hint.changes:
        goes_on = f"{goes_on if hint.needs_guest_restart else ''}, {hint.changes}"
    if hint.comes_back:
        goes_on += ", comes back"
    elif hint.comes_back is False:
        goes_on += f", does not come back: {hint.way_back}"
    elif hint.way_back:
        goes_on += f", way back not known: {hint.way_back}"
    again = ", the same command" if hint.command in commands else ""
    yield labelled(label, f"{hint.action}   ({where}{goes_on}{again})")
    if hint.command and not again:
        commands.add(hint.command)
        yield labelled("", hint.command)


def printed(lines: Iterable[str]) -> list[str]:
    """QEMU's lines for a person: what it prints once for each CPU stands once, with its number."""
    return [
        line if number == 1 else f"{line}   ({number} times)"
        for line, number in Counter(lines).items()
    ]


def labelled(label: str, text: str) -> Padding:
    """A text beside its label, both in columns."""
    from rich.table import Table  # noqa: PLC0415 -- findings only

    table = Table.grid(padding=(0, 2))
    table.add_column(width=16, no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row(Text(label, style="bold"), Text(text))
    return Padding(table, (0, 0, 0, 4), expand=False)


def way_back(verdict: Verdict) -> Text:
    """Does the guest come back?"""
    back = verdict.back
    if back is None:
        return Text(f"{'BACK':<12}", "bold") + Text(f"not tried: {verdict.no_back}")
    label = Text("BACK".ljust(12), style=_STYLE[back.outcome])
    tried = ", tried with the real QEMU" if back.basis is Basis.REHEARSED else ""
    if back.outcome is Outcome.LOADS:
        return label + Text(f"the guest comes back: the source loads it again{tried}")
    if back.outcome is Outcome.REFUSED:
        from migratable.rehearse.way_back import said  # noqa: PLC0415 -- seldom asked

        return label + Text(f"the guest does not come back{tried}: {said(back)}")
    return label + Text(f"not known: {'; '.join(back.unchecked[:1])}")
